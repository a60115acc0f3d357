//! `ecs.query`: many entities at once, as columns.

use bevy::ecs::archetype::{Archetype, ArchetypeEntity};
use bevy::ecs::component::ComponentId;
use bevy::ecs::entity::EntityHashSet;
use bevy::ecs::entity_disabling::DefaultQueryFilters;
use bevy::prelude::*;
use smallvec::SmallVec;

use super::fields::Found;
use super::into_value::{Budget, value_of};
use super::view::{AccessCall, Answer, MAX_ENTITIES, WorldView};
use crate::luau::world::WorldResults;
use crate::value::{Column, Value};

/// Columns, and types in a filter.
const MAX_COLUMNS: usize = 16;

/// What a script asks for.
struct Query<'w> {
    columns: SmallVec<[Found<'w>; 4]>,
    with: SmallVec<[ComponentId; 4]>,
    without: SmallVec<[ComponentId; 4]>,
    /// Something in the filter is on no entity yet.
    is_empty: bool,
    limit: Option<usize>,
}

/// `ecs.query(paths, { with = types, without = types, limit = number })`: the entities that have all of that, and a column
/// for each path.
pub(super) fn query<'w>(view: &WorldView<'w>, call: &AccessCall<'_>) -> Answer {
    let query = Query::read(view, call)?;
    let mut found = Columns::new(&query);
    if !query.is_empty {
        let looked = found.look(view, call, &query);
        call.arguments.charge(found.cost());
        looked?;
    }
    let mut columns = vec![Column::Entities(found.entities)];
    columns.extend(found.columns);
    Ok(WorldResults::Columns(columns))
}

impl<'w> Query<'w> {
    fn read(view: &WorldView<'w>, call: &AccessCall<'_>) -> Result<Self, String> {
        let mut query = Self {
            columns: SmallVec::new(),
            with: SmallVec::new(),
            without: SmallVec::new(),
            is_empty: false,
            limit: None,
        };
        let wrong = |why| format!("argument 1: {why}");
        for name in names(call.arguments.get(1)?).map_err(wrong)? {
            let field = query.field(view, call, &name)?;
            match field.component(view.world) {
                Some(id) => query.with.push(id),
                None => query.is_empty = true,
            }
            query.columns.push(field);
        }
        match call.arguments.get(2)? {
            Value::Nil => {}
            Value::Table(options) => {
                for (key, value) in options {
                    query
                        .option(view, call, &key, value)
                        .map_err(|why| format!("argument 2: {key}: {why}"))?;
                }
            }
            _ => return Err("argument 2: expected table".to_owned()),
        }
        // As in Bevy's own queries.
        if let Some(filters) = view.world.get_resource::<DefaultQueryFilters>() {
            let asked = &query.with;
            query.without.extend(filters.disabling_ids().filter(|id| !asked.contains(id)));
        }
        Ok(query)
    }

    fn field(
        &mut self,
        view: &WorldView<'w>,
        call: &AccessCall<'_>,
        name: &str,
    ) -> Result<Found<'w>, String> {
        let field = view.find(call, name.as_bytes())?;
        view.may_read(call, &field)?;
        Ok(field)
    }

    fn option(
        &mut self,
        view: &WorldView<'w>,
        call: &AccessCall<'_>,
        key: &Value,
        value: Value,
    ) -> Result<(), String> {
        match key.as_str() {
            Some("with") => {
                for name in names(value)? {
                    match self.field(view, call, &name)?.component(view.world) {
                        Some(id) => self.with.push(id),
                        None => self.is_empty = true,
                    }
                }
            }
            Some("without") => {
                for name in names(value)? {
                    let id = self.field(view, call, &name)?.component(view.world);
                    self.without.extend(id);
                }
            }
            Some("limit") => {
                let limit = value.as_f64().filter(|limit| (0.0..=MAX_ENTITIES as f64).contains(limit));
                let limit = limit.ok_or_else(|| format!("expected a number up to {MAX_ENTITIES}"))?;
                self.limit = Some(limit as usize);
            }
            _ => return Err("there is no such option, but with, without, limit".to_owned()),
        }
        Ok(())
    }

    fn fits(&self, archetype: &Archetype) -> bool {
        self.with.iter().all(|id| archetype.contains(*id))
            && !self.without.iter().any(|id| archetype.contains(*id))
    }
}

/// A name, or a list of names.
fn names(value: Value) -> Result<SmallVec<[String; 4]>, String> {
    let wrong = || "expected an array of types or paths".to_owned();
    let values = match value {
        Value::String(_) => vec![value],
        Value::Table(mut entries) => {
            let position = |key: &Value| key.as_f64().unwrap_or(f64::NAN);
            entries.sort_by(|(a, _), (b, _)| position(a).total_cmp(&position(b)));
            entries.into_iter().map(|(_, value)| value).collect()
        }
        _ => return Err(wrong()),
    };
    if values.len() > MAX_COLUMNS {
        return Err(format!("{} types; there may be {MAX_COLUMNS}", values.len()));
    }
    values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
}

/// What was found.
struct Columns {
    entities: Vec<Entity>,
    columns: Vec<Column>,
    budget: Budget,
    scanned: usize,
}

impl Columns {
    fn new(query: &Query<'_>) -> Self {
        Self {
            entities: Vec::new(),
            columns: query.columns.iter().map(|_| Column::default()).collect(),
            budget: Budget::new(),
            scanned: 0,
        }
    }

    /// Looks at all entities that the VM reaches and that have the components.
    fn look(&mut self, view: &WorldView<'_>, call: &AccessCall<'_>, query: &Query<'_>) -> Result<(), String> {
        let markers = match call.access.markers() {
            Some(markers) => markers,
            None => return self.scan(view, query, |_| true, &EntityHashSet::default()).map(|_| ()),
        };
        let local = call.access.local(view.world, call.vm, MAX_ENTITIES + 1);
        self.scanned += local.len();
        for &entity in &local {
            if let Ok(entity) = view.world.get_entity(entity)
                && query.fits(entity.archetype())
                && !self.add(query, entity)?
            {
                return Ok(());
            }
        }
        let markers: SmallVec<[ComponentId; 2]> =
            markers.iter().filter_map(|marker| view.world.components().get_valid_id(*marker)).collect();
        if !markers.is_empty() {
            let has_marker = |archetype: &Archetype| markers.iter().any(|id| archetype.contains(*id));
            self.scan(view, query, has_marker, &local.into_iter().collect())?;
        }
        Ok(())
    }

    /// Looks at the entities of archetypes, but for those that have been looked at.
    fn scan(
        &mut self,
        view: &WorldView<'_>,
        query: &Query<'_>,
        is_reached: impl Fn(&Archetype) -> bool,
        seen: &EntityHashSet,
    ) -> Result<(), String> {
        for archetype in view.world.archetypes().iter() {
            self.scanned += 1;
            if !query.fits(archetype) || !is_reached(archetype) {
                continue;
            }
            for entity in archetype.entities().iter().map(ArchetypeEntity::id) {
                if !seen.is_empty() && seen.contains(&entity) {
                    continue;
                }
                let Ok(entity) = view.world.get_entity(entity) else { continue };
                if !self.add(query, entity)? {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Adds an entity that fits. `false` if there are as many as were asked for.
    fn add(&mut self, query: &Query<'_>, entity: EntityRef<'_>) -> Result<bool, String> {
        if Some(self.entities.len()) == query.limit {
            return Ok(false);
        }
        if self.entities.len() == MAX_ENTITIES {
            return Err(format!(
                "more than {MAX_ENTITIES} entities: pass a `limit`, or filter `with` a component"
            ));
        }
        for (field, column) in query.columns.iter().zip(&mut self.columns) {
            let value = field
                .of(entity)
                .ok_or_else(|| format!("entity {} has lost `{}`", entity.id(), field.name))?;
            column.push(value_of(value?, field.leaf, &mut self.budget)?);
        }
        self.entities.push(entity.id());
        Ok(true)
    }

    fn cost(&self) -> u64 {
        let values = self.entities.len() * (1 + 2 * self.columns.len());
        (self.scanned + values) as u64 + self.budget.cost()
    }
}

//! What the scripts of a VM may reach.

use std::any::TypeId;
use std::sync::Arc;

use bevy::ecs::entity::EntityHashSet;
use bevy::prelude::*;
use smallvec::SmallVec;

/// Parents that are asked for, at most: beyond them an entity counts as nobody's child.
const MAX_ANCESTORS: usize = 64;

/// What the scripts of a VM may read and write in the world: a component of the VM's entity.
///
/// Without it, and by default, they reach nothing. Types of components and resources are granted one by one, and so are
/// entities. The grant is looked at each time that a script uses an entity, so it may change at any time.
///
/// ```
/// # use bevy::prelude::*;
/// # use bevy_luau_os::prelude::*;
/// # use bevy_luau_os::EcsAccess;
/// #[derive(Component, Reflect, Default)]
/// #[reflect(Component, Default)]
/// struct Health(f32);
///
/// # let mut world = World::new();
/// let own = EcsAccess::new().read::<Health>().write::<Transform>().own();
/// world.spawn((Vm::new(), Transform::default(), Health(10.0), own));
/// ```
#[derive(Component, Clone, Debug, Default)]
pub struct EcsAccess(Arc<Grant>);

/// What is granted. Clones share it: most VMs have the same, and each call of a script looks at it.
#[derive(Clone, Debug, Default)]
struct Grant {
    read: SmallVec<[TypeId; 4]>,
    write: SmallVec<[TypeId; 4]>,
    reach: Reach,
    /// Entities that scripts may have spawned at a time.
    max_spawned: usize,
    may_despawn: bool,
}

/// Which entities. Each of these adds some.
#[derive(Clone, Debug, Default)]
struct Reach {
    own: bool,
    children: bool,
    all: bool,
    markers: SmallVec<[TypeId; 2]>,
}

/// The VM whose scripts have spawned an entity. When the VM is despawned, so is the entity.
#[derive(Component, Clone, Copy, Debug, PartialEq, Eq)]
#[relationship(relationship_target = SpawnedEntities)]
pub struct SpawnedBy(pub Entity);

/// What the scripts of a VM have spawned.
#[derive(Component, Default, Debug)]
#[relationship_target(relationship = SpawnedBy, linked_spawn)]
pub struct SpawnedEntities(Vec<Entity>);

impl EcsAccess {
    fn grant(&mut self) -> &mut Grant {
        Arc::make_mut(&mut self.0)
    }

    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Components, or a resource, of a type may be read.
    #[must_use]
    pub fn read<T: Component>(mut self) -> Self {
        self.grant().read.push(TypeId::of::<T>());
        self
    }

    /// They may be read, changed, inserted and removed.
    #[must_use]
    pub fn write<T: Component>(mut self) -> Self {
        self.grant().write.push(TypeId::of::<T>());
        self.read::<T>()
    }

    /// The entity of the VM, and those that its scripts have spawned.
    #[must_use]
    pub fn own(mut self) -> Self {
        self.grant().reach.own = true;
        self
    }

    /// The children of the VM's entity, and theirs.
    #[must_use]
    pub fn children(mut self) -> Self {
        self.grant().reach.children = true;
        self
    }

    /// Entities with a component, whoever else has a share in them.
    #[must_use]
    pub fn with<Marker: Component>(mut self) -> Self {
        self.grant().reach.markers.push(TypeId::of::<Marker>());
        self
    }

    /// All entities.
    #[must_use]
    pub fn all(mut self) -> Self {
        self.grant().reach.all = true;
        self
    }

    /// Scripts may spawn entities, of components that they may write, as long as there are fewer than so many that they
    /// have spawned.
    #[must_use]
    pub fn spawn(mut self, max: usize) -> Self {
        self.grant().max_spawned = max;
        self
    }

    /// Scripts may despawn entities that they reach, apart from the VM's own.
    #[must_use]
    pub fn despawn(mut self) -> Self {
        self.grant().may_despawn = true;
        self
    }

    pub(super) fn may_read(&self, component: TypeId) -> bool {
        self.0.read.contains(&component)
    }

    pub(super) fn may_write(&self, component: TypeId) -> bool {
        self.0.write.contains(&component)
    }

    pub(super) fn max_spawned(&self) -> usize {
        self.0.max_spawned
    }

    pub(super) fn may_despawn(&self) -> bool {
        self.0.may_despawn
    }

    /// The types that may be read, each with whether it may be written.
    pub(super) fn types(&self) -> impl Iterator<Item = (TypeId, bool)> {
        self.0.read.iter().map(|read| (*read, self.may_write(*read)))
    }

    /// Whether scripts of `vm` reach an entity.
    #[inline]
    pub(super) fn reaches(&self, world: &World, vm: Entity, entity: EntityRef<'_>) -> bool {
        (self.0.reach.own && entity.id() == vm) || self.reaches_other(world, vm, entity)
    }

    fn reaches_other(&self, world: &World, vm: Entity, entity: EntityRef<'_>) -> bool {
        let Reach { own, children, all, ref markers } = self.0.reach;
        all || (own && entity.get::<SpawnedBy>().is_some_and(|spawned| spawned.0 == vm))
            || markers.iter().any(|marker| entity.contains_type_id(*marker))
            || (children && is_below(world, vm, entity))
    }

    /// The components of which one makes an entity reachable, unless all are.
    pub(super) fn markers(&self) -> Option<&[TypeId]> {
        (!self.0.reach.all).then_some(&self.0.reach.markers)
    }

    /// What scripts of `vm` reach from its entity on, up to so many.
    pub(super) fn local(&self, world: &World, vm: Entity, max: usize) -> Vec<Entity> {
        let (mut entities, mut seen) = (Vec::new(), EntityHashSet::default());
        let mut add = |entities: &mut Vec<Entity>, entity| {
            if entities.len() < max && seen.insert(entity) {
                entities.push(entity);
            }
        };
        if self.0.reach.own {
            add(&mut entities, vm);
            let spawned = world.get::<SpawnedEntities>(vm);
            spawned.into_iter().flat_map(|it| it.iter()).for_each(|entity| add(&mut entities, entity));
        }
        if self.0.reach.children {
            let mut parents = vec![vm];
            while let Some(parent) = parents.pop()
                && entities.len() < max
            {
                for child in world.get::<Children>(parent).into_iter().flat_map(|it| it.iter()) {
                    add(&mut entities, child);
                    parents.push(child);
                }
            }
        }
        entities
    }
}

fn is_below(world: &World, vm: Entity, entity: EntityRef<'_>) -> bool {
    let mut parent = entity.get::<ChildOf>().map(ChildOf::parent);
    for _ in 0..MAX_ANCESTORS {
        match parent {
            Some(found) if found == vm => return true,
            Some(found) => parent = world.get::<ChildOf>(found).map(ChildOf::parent),
            None => return false,
        }
    }
    false
}

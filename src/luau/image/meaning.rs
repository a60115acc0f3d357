//! What the objects of an image are in the state where it is loaded.

use super::bytes::Read;
use super::cache::ImageCache;
use super::check::{Callee, Meaning};
use super::heap::{Code, Heap, Object, ObjectKind};
use super::model::{Item, Model};
use super::names::Role;
use super::programs::{CodePlace, ProgramParts};

/// An object that need not be made, or how it is made.
#[derive(Clone, Copy)]
pub(super) enum Found {
    /// It is there.
    There(Object, ObjectKind),
    /// It is made as the image says.
    Made(ObjectKind),
    /// A function of a script, of this code.
    Script(Code),
    /// It is not there any more: something stands for it.
    Gone(ObjectKind),
}

/// See the [module](self).
pub(super) struct Meanings<'m> {
    found: Vec<Found>,
    model: &'m Model,
    cache: &'m ImageCache,
    heap: &'m Heap,
}

impl<'m> Meanings<'m> {
    /// `programs` are those of the image, by number, where they could be loaded and are the same. `image` is what the
    /// model was read from.
    pub(super) fn find(
        model: &'m Model,
        image: &[u8],
        cache: &'m ImageCache,
        heap: &'m Heap,
        programs: &[Option<&ProgramParts>],
    ) -> Read<Self> {
        let mut found = Vec::with_capacity(model.items.len());
        for (number, item) in model.items.iter().enumerate() {
            found.push(match item {
                Item::String(_) => Found::Made(ObjectKind::STRING),
                Item::Buffer(_) => Found::Made(ObjectKind::BUFFER),
                Item::Table(_) => Found::Made(ObjectKind::TABLE),
                Item::Native { .. } => Found::Made(ObjectKind::FUNCTION),
                Item::Upvalue(_) => Found::Made(ObjectKind::UPVALUE),
                Item::Thread(_) => Found::Made(ObjectKind::THREAD),
                Item::Userdata { .. } => Found::Made(ObjectKind::USERDATA),
                Item::Named(kind, name) => named(model, number, *kind, &image[name.clone()], cache)?,
                Item::Function { place, .. } => match find_code(cache, programs, *place) {
                    Ok(Some(code)) => Found::Script(code),
                    Ok(None) => Found::Gone(ObjectKind::FUNCTION),
                    Err(()) => return model.refuse(number, "its program has no such code"),
                },
                Item::Main { program, part } => match programs.get(*program) {
                    None => return model.refuse(number, "there is no such program"),
                    Some(None) => Found::Gone(ObjectKind::FUNCTION),
                    Some(Some(parts)) => match parts.parts.get(*part) {
                        None => return model.refuse(number, "its program has no such part"),
                        Some(None) => Found::Gone(ObjectKind::FUNCTION),
                        Some(Some(part)) => Found::There(part.main, ObjectKind::FUNCTION),
                    },
                },
                Item::Links { program } => match programs.get(*program) {
                    None => return model.refuse(number, "there is no such program"),
                    Some(parts) => match parts.and_then(|parts| parts.links) {
                        Some(links) => Found::There(links, ObjectKind::TABLE),
                        None => Found::Gone(ObjectKind::TABLE),
                    },
                },
            });
        }
        Ok(Self { found, model, cache, heap })
    }

    pub(super) fn found(&self, number: usize) -> Found {
        self.found[number]
    }
}

fn named(model: &Model, number: usize, kind: ObjectKind, name: &[u8], cache: &ImageCache) -> Read<Found> {
    let kinds = [ObjectKind::TABLE, ObjectKind::FUNCTION, ObjectKind::USERDATA];
    match cache.names.find(name) {
        Some((object, found)) if found == kind => Ok(Found::There(object, kind)),
        _ if kinds.contains(&kind) => Ok(Found::Gone(kind)),
        _ => model.refuse(number, "nothing of that type has a name"),
    }
}

/// `None` if its program is not there.
fn find_code(
    cache: &ImageCache,
    programs: &[Option<&ProgramParts>],
    CodePlace { program, part, id }: CodePlace,
) -> Result<Option<Code>, ()> {
    let codes = match program.checked_sub(1) {
        None => cache.drivers.iter().find(|(number, _)| *number == part).map(|(_, part)| &part.codes),
        Some(program) => match programs.get(program).ok_or(())? {
            None => return Ok(None),
            Some(parts) => match parts.parts.get(part).ok_or(())? {
                None => return Ok(None),
                Some(part) => Some(&part.codes),
            },
        },
    };
    let code = codes.and_then(|codes| codes.get(id).copied().flatten());
    code.map(Some).ok_or(())
}

impl Meaning for Meanings<'_> {
    fn kind(&self, number: u32) -> Option<ObjectKind> {
        Some(match *self.found.get(number as usize)? {
            Found::There(_, kind) | Found::Made(kind) | Found::Gone(kind) => kind,
            Found::Script(_) => ObjectKind::FUNCTION,
        })
    }

    fn callee(&self, number: u32) -> Option<Callee> {
        let names = &self.cache.names;
        match *self.found.get(number as usize)? {
            Found::There(object, ObjectKind::FUNCTION) => {
                let function = self.heap.function(object);
                Some(match function.code {
                    Some(code) => Callee::Script(code),
                    None => Callee::Native(names.role(object, function.native), function.native.1 != 0),
                })
            }
            Found::Script(code) => Some(Callee::Script(code)),
            Found::Gone(ObjectKind::FUNCTION) => Some(Callee::Gone),
            Found::Made(ObjectKind::FUNCTION) => match self.model.items.get(number as usize)? {
                Item::Native { number, .. } => {
                    let native = names.natives[*number].native;
                    let role = if super::names::Names::wraps(*number) {
                        Role::Resumes { in_upvalue: true }
                    } else {
                        Role::Plain
                    };
                    Some(Callee::Native(role, native.1 != 0))
                }
                _ => None,
            },
            _ => None,
        }
    }
}

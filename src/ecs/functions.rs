//! The functions that scripts call, by number.

use super::access::EcsAccess;
use super::query::query;
use super::view::{AccessCall, Answer, WorldView, one};
use crate::luau::CallArguments;
use crate::luau::world::{WorldCaller, WorldChange, WorldFunctions};
use crate::value::Value;

/// What a call takes in any case, with what is done after the slices, in safepoints.
const CALL: u64 = 4;

/// Their paths.
pub(super) const FUNCTIONS: [&str; 10] = [
    "ecs.own",
    "ecs.get",
    "ecs.set",
    "ecs.query",
    "ecs.insert",
    "ecs.remove",
    "ecs.despawn",
    "ecs.exists",
    "ecs.resource",
    "ecs.set_resource",
];

impl WorldFunctions for WorldView<'_> {
    #[inline]
    fn call(
        &self,
        function: usize,
        WorldCaller { vm }: WorldCaller,
        arguments: &CallArguments,
        changes: &mut Vec<WorldChange>,
    ) -> Answer {
        arguments.charge(CALL);
        let Some(access) = self.world.get::<EcsAccess>(vm) else {
            return Err("this VM reaches nothing: the game has not given it an `EcsAccess`".to_owned());
        };
        let call = AccessCall { vm, access, arguments };
        match function {
            0 => one(Value::Entity(vm)),
            1 => self.get(&call),
            2 => self.set(&call, changes),
            3 => query(self, &call),
            4 => self.insert(&call, changes),
            5 => self.remove(&call, changes),
            6 => self.despawn(&call, changes),
            7 => self.exists(&call),
            8 => self.resource(&call),
            _ => self.set_resource(&call, changes),
        }
    }
}

//! What standing before Luau's library costs: calls of a sandboxed process against the same calls on
//! a plain Luau state with an interrupt as ours, in the same run.
//!
//! `small` are calls as scripts make them; `large` are single calls with arguments as large as a
//! slice may allocate: what one call can hold up a tick for.
//!
//! ```text
//! cargo bench --bench library
//! ```
#![expect(unsafe_code, reason = "the plain state's interrupt is the raw interface")]
#![expect(clippy::multiple_unsafe_ops_per_block, reason = "what is measured against is raw on purpose")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bevy::prelude::*;
use bevy::time::TimeUpdateStrategy;
use bevy_luau_os::prelude::*;
use criterion::{Criterion, criterion_group, criterion_main};
use mlua::Lua;
use mlua::ffi::{self, lua_State};

const SMALL: &[(&str, &str)] = &[
    ("find plain", "s:find('wor', 1, true)"),
    ("find pattern", "s:find('w%a+')"),
    ("match", "s:match('(%a+) (%a+)')"),
    ("gsub", "s:gsub('o', '0')"),
    ("split", "s:split(' ')"),
    ("sub, method", "s:sub(2, 4)"),
    ("string.sub", "string.sub(s, 2, 4)"),
    ("upper", "s:upper()"),
    ("rep", "s:rep(3)"),
    ("format", "string.format('%d %s', 1, s)"),
    ("tonumber of a string", "tonumber('12')"),
    ("tonumber of a number", "tonumber(12)"),
    ("select", "select(2, 1, 2, 3)"),
    ("table.insert, append and remove", "table.insert(t, 4) table.remove(t)"),
    ("table.insert in front and remove", "table.insert(t, 1, 4) table.remove(t, 1)"),
    ("table.concat", "table.concat(t, ' ')"),
    ("table.find", "table.find(t, 3)"),
    ("table.unpack", "local a, b, c = table.unpack(t)"),
    ("table.sort of 3 numbers", "table.sort(t)"),
    ("table.sort of 100 numbers", "table.sort(table.clone(list))"),
    ("table.sort of 100 with a comparator", "table.sort(table.clone(list), less)"),
    ("buffer.readstring", "buffer.readstring(b, 2, 8)"),
    ("utf8.len", "utf8.len(s)"),
];
const SMALL_SETUP: &str = "local s, t, b = 'hello world', { 1, 2, 3 }, buffer.create(64)
    local list = {} for i = 1, 100 do list[i] = i * 7919 % 101 end
    local function less(a, b) return a < b end";

const LARGE: &[(&str, &str)] = &[
    ("string.rep", "string.rep('x', 2000000)"),
    ("string.upper", "s:upper()"),
    ("string.sub", "s:sub(1, -2)"),
    ("string.sub, all", "s:sub(1, -1)"),
    ("string.find, plain", "s:find('xxxxxxxy', 1, true)"),
    ("string.find, pattern", "h:find('^x*y')"),
    ("string.format, no options", "string.format(s)"),
    ("string.split", "s:split('y')"),
    ("string.byte", "select('#', s:byte(1, 100000))"),
    ("string.packsize", "string.packsize(p)"),
    ("tonumber", "tonumber(z)"),
    ("utf8.len", "utf8.len(s)"),
    ("utf8.offset", "utf8.offset(s, 2000000)"),
    ("table.insert in front and remove", "table.insert(t, 1, 1) table.remove(t, 1)"),
    ("table.concat", "table.concat(t)"),
    ("table.find", "table.find(t, 2)"),
    ("table.move by one", "table.move(t, 1, 131000, 2)"),
    ("table.move of nothing", "table.move({}, -131000, 0, 1, {})"),
    ("table.clear", "table.clear(table.create(131072))"),
    ("table.unpack", "select('#', table.unpack(t, 1, 100000))"),
    ("next over holes", "next(e)"),
    ("buffer.fill", "buffer.fill(b, 0, 1)"),
    ("buffer.tostring", "buffer.tostring(b)"),
];
const LARGE_SETUP: &str = "local s, h, z = ('x'):rep(2000000), ('x'):rep(1000000), ('0'):rep(2000000)
    local t, b, p = table.create(131072, 1), buffer.create(2000000), ('b'):rep(16384)
    local e = table.create(131072, 1) for i = 1, 131072 do e[i] = nil end";

fn source(setup: &str, call: &str, calls: u32) -> String {
    format!("{setup} for _ = 1, {calls} do {call} end")
}

/// The time of so many calls in a process, all in one slice.
fn ours(setup: &str, call: &str, calls: u32) -> Duration {
    let time = |calls| {
        let mut app = App::new();
        let plugin = LuauOsPlugin { quantum: u32::MAX, budget: TickBudget::Unlimited, ..default() };
        app.add_plugins((MinimalPlugins, plugin)).insert_resource(TimeUpdateStrategy::FixedTimesteps(1));
        app.world_mut().resource_mut::<LuauRuntime>().measure_without_limits();
        app.update(); // Bevy's clock starts with it
        let vm = app.world_mut().spawn(Vm::new()).id();
        let script = Script::new("bench", source(setup, call, calls));
        app.world_mut().spawn((Process::new(script), ProcessOf(vm)));
        let began = Instant::now();
        app.update();
        assert_eq!(app.world().resource::<bevy_luau_os::Metrics>().processes_finished, 1, "{call}");
        began.elapsed()
    };
    time(calls).saturating_sub(time(0))
}

static SAFEPOINTS: AtomicU64 = AtomicU64::new(0);

unsafe extern "C-unwind" fn count(_: *mut lua_State, _: i32) {
    SAFEPOINTS.store(SAFEPOINTS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// The time of so many calls on a plain state.
fn luaus(setup: &str, call: &str, calls: u32) -> Duration {
    let time = |calls| {
        let lua = Lua::new();
        lua.sandbox(true).expect("sandbox");
        // SAFETY: the state is live; the callback only counts.
        let _ =
            unsafe { lua.exec_raw::<()>((), |state| (*ffi::lua_callbacks(state)).interrupt = Some(count)) };
        let main = lua.load(source(setup, call, calls)).into_function().expect("compiles");
        let began = Instant::now();
        main.call::<()>(()).expect("runs");
        began.elapsed()
    };
    time(calls).saturating_sub(time(0))
}

fn library(criterion: &mut Criterion) {
    let groups = [("small", SMALL_SETUP, SMALL, 10_000), ("large", LARGE_SETUP, LARGE, 4)];
    for (name, setup, calls, at_once) in groups {
        let mut group = criterion.benchmark_group(name);
        for &(call_name, call) in calls {
            for (side, run) in [("ours", ours as fn(&str, &str, u32) -> Duration), ("luaus", luaus)] {
                group.bench_function(format!("{call_name}/{side}"), |bencher| {
                    bencher.iter_custom(|count| {
                        (0..count).map(|_| run(setup, call, at_once)).sum::<Duration>() / at_once
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(50))
        .measurement_time(Duration::from_millis(200));
    targets = library
}
criterion_main!(benches);

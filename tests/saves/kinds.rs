//! Each kind of state goes on: a script saved and loaded after each tick does what it does uninterrupted.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{app_with, ended, plugin};
use crate::migrate::migrate;

fn app(quantum: u32) -> App {
    let mut app = app_with(LuauOsPlugin { quantum, ..plugin() });
    app.add_syscall("answer", |In(calls): In<Vec<Syscall<(f64,), f64>>>| {
        for call in calls {
            let answer = 2.0 * call.args.0;
            call.reply(answer);
        }
    });
    app.add_host_function("half", |n: f64| Ok::<_, String>(n / 2.0));
    app
}

/// What a script prints in so many ticks at most, and how its processes ended.
fn run(source: &str, quantum: u32, migrates: bool) -> (String, Vec<(u32, Outcome)>) {
    let mut app = app(quantum);
    let vm = app.world_mut().spawn(Vm::persistent()).id();
    let script = Script::new("test", source)
        .with_module("lib/counter.luau", "local n = 0 return function() n += 1 return n end");
    app.world_mut().spawn((Process::new(script).with_name("first").with_args([7.0]), ProcessOf(vm)));
    app.update();
    for tick in 0..3_000 {
        if migrates && tick > 0 {
            app = migrate(app, || self::app(quantum));
        }
        app.update();
        let alive = app.world_mut().query::<&Process>().iter(app.world()).count();
        if alive == 0 {
            break;
        }
    }
    let console =
        app.world_mut().query::<&VmConsole>().iter(app.world()).map(|it| it.text().to_owned()).collect();
    (console, ended(&app).processes.iter().map(|exit| (exit.pid.get(), exit.outcome.clone())).collect())
}

#[track_caller]
fn is_the_same(source: &str) {
    is_the_same_at(source, &[2, 7]);
}

#[track_caller]
fn is_the_same_at(source: &str, quanta: &[u32]) {
    for &quantum in quanta {
        let expected = run(source, quantum, false);
        assert!(!expected.0.is_empty(), "it prints nothing: {:?}", expected.1);
        assert_eq!(run(source, quantum, true), expected, "at quantum {quantum}");
    }
}

#[test]
fn loops_calls_and_coroutines() {
    is_the_same(
        "local function fib(n) return if n < 2 then n else fib(n - 1) + fib(n - 2) end
        local c = coroutine.wrap(function() for i = 1, 10 do coroutine.yield(fib(i)) end end)
        local t = {} for i = 1, 10 do t[i] = c() end
        for k, v in t do print(k, v, pcall(error, v)) end",
    );
}

#[test]
fn arguments_names_numbers_and_random_generators() {
    is_the_same(
        "for i = 1, 5 do print(..., process.pid, process.name, process.args[1], math.random(1000), half(3)) end",
    );
}

#[test]
fn timers_and_clocks() {
    // With a longer quantum nothing is parked, and runs ahead.
    is_the_same_at(
        "for i = 1, 5 do print(task.wait(i / 30), os.clock(), os.time()) end
        task.delay(0.2, print, 'delayed') task.spawn(function() task.wait(0.3) print(os.clock()) end)
        task.wait(0.1) print('main')",
        &[1_000],
    );
}

#[test]
fn messages_and_mailboxes() {
    is_the_same(
        "local me = process.pid
        local child = process.spawn(`for i = 1, 6 do process.send({me}, \\{ i = i }) task.wait() end`)
        task.wait(0.2)
        for i = 1, 6 do local message, from = mailbox.receive(1) print(message.i, from == child) end
        print(mailbox.receive(0.1))",
    );
}

#[test]
fn children_joins_monitors_and_kept_ends() {
    is_the_same(
        "local a = process.spawn('for i = 1, 20 do end return 1, 2')
        print(process.join(a)) print(process.join(a))
        local b = process.spawn(function(x) task.wait(0.1) error(x) end, 'oh')
        print(process.monitor(b))
        local message = mailbox.receive() print(message.pid == b, message.outcome, message.details[1])
        local c = process.spawn('while true do end')
        print(process.join(c, 0.05), process.kill(c), process.join(c))
        for _, pid in process.list() do print(pid, process.info(pid).name) end",
    );
}

#[test]
fn functions_that_start_processes() {
    is_the_same(
        "for i = 1, 5 do
            local pid = process.spawn(function(n) local s = 0 for j = 1, 9 do s += j end return s * n end, i)
            print(process.join(pid))
        end",
    );
}

#[test]
fn tasks_that_wait_for_each_other() {
    is_the_same(
        "local tasks = {}
        for i = 1, 4 do tasks[i] = task.spawn(function() for j = 1, i * 3 do task.wait() end print(i) return i end) end
        for i = 4, 1, -1 do print(task.join(tasks[i])) end
        task.defer(print, 'deferred') task.cancel(task.delay(0.1, print, 'never'))",
    );
}

#[test]
fn syscalls_and_modules() {
    is_the_same(
        "local counter = require('./lib/counter')
        for i = 1, 5 do print(answer(i), counter()) end
        print(select('#', pcall(answer, 'x')))",
    );
}

#[test]
fn what_cannot_be_broken_runs_on() {
    is_the_same(
        "local t = setmetatable({}, { __index = function(_, k) local s = 0 for i = 1, 40 do s += i * k end return s end })
        for i = 1, 3 do print(t[i]) end
        print((('abc'):gsub('%w', function(c) for i = 1, 20 do end return c .. c end)))
        local l = { 5, 3, 9, 1 } table.sort(l, function(a, b) for i = 1, 9 do end return a < b end)
        print(table.concat(l, ','))",
    );
}

#[test]
fn errors_and_kills() {
    is_the_same(
        "print(1) task.spawn(function() for i = 1, 9 do end error('task') end) task.wait() error({ message = 'main' })",
    );
    is_the_same("print(1) for i = 1, 9 do end process.exit(1, 2)");
}

//! Processes that wait for a time, in coroutines and protected calls too.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::syscalls::app;
use crate::common::{self, info, metrics, returns, runtime, text};

#[test]
fn waiting_takes_the_time_that_it_should_and_says_how_long() {
    let mut app = app();
    for (source, expected) in [
        ("local t = os.clock() task.wait(0.5) return os.clock() - t", 0.5),
        ("return task.wait(0.5)", 0.5),
        ("return task.wait()", 1.0 / 60.0),
        ("return task.wait(-1)", 1.0 / 60.0),
        ("return task.wait(0/0)", 1.0 / 60.0),
        ("return task.wait(math.huge)", 1.0 / 60.0),
        ("return task.wait(1e30)", 1.0 / 60.0),
        ("local t = os.clock() mailbox.receive(0.5) return os.clock() - t", 0.5),
    ] {
        let Outcome::Finished(values) = common::outcome(&mut app, source) else { panic!("{source}") };
        let waited = values[0].as_f64().expect("a number");
        assert!((expected - 1e-6..expected + 1.5 / 60.0).contains(&waited), "{source}: {waited}");
    }
}

#[test]
fn processes_wake_in_the_order_of_their_times() {
    let mut app = app();
    let vm = common::vm(&mut app);
    for seconds in [0.3, 0.1, 0.2, 0.1] {
        common::process(&mut app, vm, &format!("task.wait({seconds}) print({seconds})"));
    }
    common::process(&mut app, vm, "while true do task.wait(10) end");
    common::ticks(&mut app, 30);
    assert_eq!(common::console(&app, vm), "0.1\n0.1\n0.2\n0.3\n");
}

#[test]
fn waiting_works_in_coroutines_and_protected_calls_at_any_quantum() {
    let source = r#"
        local log = {}
        local generator = coroutine.wrap(function()
            for i = 1, 3 do
                task.wait(0.05)
                coroutine.yield(i)
            end
        end)
        generator() -- it waits, and we go on
        task.wait(0.1)
        for i in generator do table.insert(log, i) end -- it waits again, so this ends
        table.insert(log, tostring(pcall(function() task.wait(0.02) error("late", 0) end)))
        table.insert(log, (select(2, pcall(function() return double(21) end))))
        table.insert(log, (select(2, pcall(fail, "luck"))))
        local inner = coroutine.create(function(...)
            return pcall(function(...) return double(...) + double(1) end, ...)
        end)
        assert(select('#', coroutine.resume(inner, 4)) == 1)
        table.insert(log, coroutine.status(inner))
        task.wait(0.1)
        table.insert(log, coroutine.status(inner))
        xpcall(function() task.wait() error("x") end, function() table.insert(log, "handled") end)
        return table.concat(log, " ")
    "#;
    for quantum in [2, 3, 7, 1000] {
        let mut app = app();
        app.world_mut().resource_mut::<LuauRuntime>().set_quantum(quantum);
        returns(&mut app, source, text("false 42 fail: no luck suspended dead handled"));
    }
}

#[test]
fn who_is_woken_or_ended_gets_no_answer_to_a_syscall_any_more() {
    let source = r#"
        local log = {}
        local function ask(n) table.insert(log, tostring(double(n))) table.insert(log, tostring(double(n + 1))) end
        local woken = task.spawn(ask, 1)
        task.spawn(woken, "woken")
        task.cancel(task.spawn(ask, 10))
        coroutine.close(task.spawn(ask, 20))
        local by_the_answer = coroutine.wrap(ask)
        assert(by_the_answer(30) == nil)
        task.wait(0.2)
        return table.concat(log, " ")
    "#;
    for quantum in [2, 7, 1000] {
        let mut app = app();
        app.world_mut().resource_mut::<LuauRuntime>().set_quantum(quantum);
        returns(&mut app, source, text("woken 4 60 62"));
    }
}

#[test]
fn a_main_chunk_that_waits_takes_no_more_memory_than_it_did() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "while true do task.wait(1) end");
    common::ticks(&mut app, 3);
    let bytes =
        |app: &App| runtime(app).vm_bytes(app.world().get::<Vm>(vm).expect("it is there")).expect("exact");
    let before = bytes(&app);
    common::ticks(&mut app, 600);
    assert_eq!(bytes(&app), before);
    assert!(common::exists(&app, process) && before < 2_000, "{before}");
}

#[test]
fn where_nothing_can_wait_an_error_says_so() {
    let mut app = app();
    for source in [
        "return setmetatable({}, { __index = function() task.wait(1) end }).x",
        "string.format('%*', setmetatable({}, { __tostring = function() task.wait(1) end }))",
        "local m = { __lt = function() task.join(coroutine.create(print)) end } local a = setmetatable({}, m) return a < a",
        "return setmetatable({}, { __len = function() return double(1) end })",
    ] {
        let source = source.replace("return setmetatable({}, { __len", "return #setmetatable({}, { __len");
        let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{source}") };
        assert!(error.message.contains("cannot wait inside a metamethod"), "{}", error.message);
        assert!(error.message.starts_with("test:1: "), "{}", error.message);
    }
}

#[test]
fn a_waiting_process_is_in_no_queue_and_costs_no_slices() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "task.wait(100)");
    common::ticks(&mut app, 3);
    let info = info(&app, process);
    assert_eq!((info.state, info.cpu.slices, runtime(&app).runnable()), (ProcessState::Waiting, 1, 0));
    let resumes = metrics(&app).resumes;
    common::ticks(&mut app, 100);
    assert_eq!(metrics(&app).resumes, resumes);
}

#[test]
fn paused_time_pauses_waiting() {
    let mut app = app();
    let vm = common::vm(&mut app);
    let process = common::process(&mut app, vm, "task.wait(0.1)");
    common::ticks(&mut app, 3);
    app.world_mut().resource_mut::<Time<Virtual>>().pause();
    common::ticks(&mut app, 50);
    assert!(common::exists(&app, process));
    app.world_mut().resource_mut::<Time<Virtual>>().unpause();
    common::ticks(&mut app, 10);
    assert!(!common::exists(&app, process));
}

#[test]
fn arguments_that_are_not_what_they_should_be_are_named() {
    let mut app = app();
    for (call, expected) in [
        ("task.wait({})", "task.wait: argument 1: expected number of seconds, got table"),
        ("task.spawn()", "task.spawn: argument 1: expected function or thread, got no value"),
        ("task.defer('x')", "task.defer: argument 1: expected function or thread, got string"),
        ("task.delay(1)", "task.delay: argument 2: expected function or thread, got no value"),
        ("task.delay()", "task.delay: argument 2: expected function or thread, got no value"),
        ("task.delay('x', print)", "task.delay: argument 1: expected number of seconds, got string"),
        ("task.cancel()", "task.cancel: argument 1: expected thread, got no value"),
        ("process.join('x')", "process.join: argument 1: expected the number of a process, got string"),
        ("process.join(2, true)", "process.join: argument 2: expected number of seconds, got boolean"),
        ("process.monitor(0.5)", "process.monitor: argument 1: expected the number of a process, got 0.5"),
        ("process.send('x', 1)", "process.send: argument 1: this is no address of a process"),
        ("mailbox.receive('soon')", "mailbox.receive: argument 1: expected number of seconds, got string"),
        ("signal.wait()", "signal.wait: argument 1: expected a name of at most 256 bytes, got no value"),
        ("signal.connect('x', 1)", "signal.connect: argument 2: expected function, got number"),
    ] {
        let source = format!("return select(2, pcall(function() {call} end))");
        returns(&mut app, &source, text(&format!("test:1: {expected}")));
    }
}

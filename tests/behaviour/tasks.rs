//! Tasks: threads that the scheduler resumes.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, persistent_vm, process, until_ended};

#[test]
fn an_error_in_a_task_ends_the_process_with_its_traceback() {
    let mut app = common::app();
    for source in [
        "task.spawn(function() task.wait(0.05) error('late') end)\nwhile true do task.wait(1) end",
        "task.spawn(function() error('late') end)\nwhile true do end",
        "pcall(function() task.spawn(function() error('late') end) end)\ntask.wait(5)",
        "task.defer(function() error('late') end)\ntask.wait(5)",
        "setmetatable({}, {__len = function() task.spawn(function() error('late') end) while true do pcall(print) \
         end end})",
    ] {
        let source = source.replace("setmetatable({}, {__len", "local _ = #setmetatable({}, {__len");
        let Outcome::Failed(error) = common::outcome(&mut app, &source) else { panic!("{source}") };
        assert_eq!(&*error.message, "test:1: late", "{source}");
        assert!(error.traceback.contains("function error\ntest:1"), "{}", error.traceback);
    }
}

#[test]
fn tasks_and_connections_are_bounded() {
    let mut app = common::app();
    let limits = VmLimits::from(Limits { tasks: 5, ..default() });
    let vm = app.world_mut().spawn((Vm::persistent(), limits)).id();
    process(
        &mut app,
        vm,
        "for i = 1, 4 do task.spawn(task.wait, 1) end
         print(pcall(task.defer, print)) print(pcall(task.delay, 1, print)) print(pcall(task.spawn, print))
         task.wait(2) task.spawn(print, 'room again')
         for i = 1, 5 do signal.connect('x', print) end print(pcall(signal.connect, 'x', print))
         process.exit()",
    );
    until_ended(&mut app, 1);
    let text = console(&app, vm);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines,
        [
            "false\ttask.defer: this process has 5 tasks, of 5",
            "false\ttask.delay: this process has 5 tasks, of 5",
            "false\ttask.spawn: this process has 5 tasks, of 5",
            "room again",
            "false\tsignal.connect: this process has 5 connections, of 5"
        ]
    );
}

#[test]
fn a_process_keeps_its_name_while_its_tasks_run() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    process(&mut app, vm, "task.delay(0.1, function() print(process.name) end)");
    until_ended(&mut app, 1);
    assert_eq!(console(&app, vm), "test\n");
}

//! Libraries of the game, which only some VMs have; constants; who calls.

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;

use crate::common::{self, console, exit, outcome, persistent_vm, process, text, ticks, until_ended};

/// An app with the libraries "red" and "blue", which share some names.
fn app() -> App {
    let mut app = common::app();
    app.add_host_function("team", || Ok::<_, String>("none"))
        .add_constant("rules.GRAVITY", 9.81)
        .add_constant("rules.NAMES", ["one", "two"]);
    app.host_library("red")
        .add_host_function("base.color", || Ok::<_, String>("red"))
        .add_host_function("os.getenv", |name: String| Ok::<_, String>(name + "=red"))
        .add_host_function("string.redden", |text: String| Ok::<_, String>(format!("red {text}")))
        .add_constant("base.SIZE", 3)
        .add_constant("rules.SPEED", 7);
    app.host_library("blue")
        .add_host_function("base.color", || Ok::<_, String>("blue"))
        .add_call("base.where", |In(vm): In<Entity>, names: Query<&Name>| {
            names.get(vm).map(|name| name.to_string())
        });
    app
}

fn vm_with(app: &mut App, libraries: &[&str]) -> Entity {
    let libraries = HostLibraries::new(libraries.iter().copied());
    app.world_mut().spawn((Vm::persistent(), libraries, Name::new("here"))).id()
}

/// What a script returns as text on a VM with these libraries.
#[track_caller]
fn on(app: &mut App, libraries: &[&str], source: &str) -> String {
    let vm = vm_with(app, libraries);
    let process = process(app, vm, source);
    let ended = common::ended(app).processes.len();
    until_ended(app, ended + 1);
    match exit(app, process).expect("it has ended").outcome.clone() {
        Outcome::Finished(results) => results.iter().map(Value::to_string).collect::<Vec<_>>().join(" "),
        outcome => panic!("{outcome:?}"),
    }
}

#[test]
fn a_vm_has_what_its_libraries_have_and_no_other() {
    let mut app = app();
    let source = "return base and base.color(), os.getenv and os.getenv('x'), string.redden ~= nil, team()";
    assert_eq!(on(&mut app, &[], source), r#"nil nil false "none""#);
    assert_eq!(on(&mut app, &["red"], source), r#""red" "x=red" true "none""#);
    assert_eq!(on(&mut app, &["blue"], source), r#""blue" nil false "none""#);
    assert_eq!(on(&mut app, &["blue", "red"], source), r#""blue" "x=red" true "none""#, "the last one made");
    assert_eq!(on(&mut app, &["blue"], "return base.where()"), r#""here""#);
    assert_eq!(on(&mut app, &["red"], "return base.where"), "nil");
}

#[test]
fn processes_of_one_isolate_run_one_script_each_with_its_own_libraries() {
    let mut app = app();
    // Names are looked up when the script is loaded, where that is possible, and local functions keep them.
    let script = Script::new(
        "shared",
        "local color = base and base.color
         local function all() return color and color(), rules.GRAVITY, rules.SPEED, os.getenv ~= nil, math.abs(-1) end
         print(all())",
    );
    let vms = [vec![], vec!["red"], vec!["blue"], vec!["red"]].map(|libraries| vm_with(&mut app, &libraries));
    for vm in vms {
        app.world_mut().spawn((Process::new(script.clone()), ProcessOf(vm)));
    }
    ticks(&mut app, 3);
    let printed = vms.map(|vm| console(&app, vm));
    let [none, red, blue] =
        ["nil\t9.81\tnil\tfalse\t1\n", "red\t9.81\t7\ttrue\t1\n", "blue\t9.81\tnil\tfalse\t1\n"];
    assert_eq!(printed, [none, red, blue, red]);
    assert_eq!(common::runtime(&app).isolate_count(), 2, "as many as there are workers");
}

#[test]
fn globals_are_kept_apart_with_libraries_as_without() {
    let mut app = app();
    let source = "
        x = 1
        local names = {}
        for name in pairs(_G) do names[name] = true end
        for name in _G do assert(names[name]) end
        assert(names.x and names.base and names.print and rawget(_G, 'base') == base and rawget(_G, 'team') == team)
        assert(not pcall(function() base.color = 1 end) and not pcall(function() os.x = 1 end))
        assert(not pcall(function() rules.NAMES[1] = 'x' end) and not pcall(table.insert, rules.NAMES, 'x'))
        print = function() return 'mine' end
        rawset(_G, 'team', 5)
        assert(print() == 'mine' and team == 5)
        return base.SIZE, rules.NAMES[2], getmetatable(_G), ('x').redden";
    assert_eq!(on(&mut app, &["red"], source), r#"3 "two" false nil"#);
    assert_eq!(on(&mut app, &["red"], "return x, typeof(print), team()"), r#"nil "function" "none""#);
}

#[test]
fn children_have_the_libraries_of_their_vm() {
    let mut app = app();
    let vm = vm_with(&mut app, &["red"]);
    let parent = "
        print(select(2, process.join(process.spawn('return base.color()'))))
        print(select(2, process.join(process.spawn(function() return base.color() end))))";
    process(&mut app, vm, parent);
    until_ended(&mut app, 3);
    assert_eq!(console(&app, vm), "red\nred\n");
}

#[test]
fn libraries_hold_for_processes_that_start_later() {
    let mut app = app();
    let vm = vm_with(&mut app, &["red", "unknown"]);
    let script = "while true do print(base.color()) signal.wait('go') end";
    process(&mut app, vm, script);
    ticks(&mut app, 3);
    app.world_mut().entity_mut(vm).insert(HostLibraries::new(["blue"]));
    process(&mut app, vm, script);
    ticks(&mut app, 3);
    app.world_mut().commands().entity(vm).send_signal("go", ());
    ticks(&mut app, 3);
    assert_eq!(console(&app, vm), "red\nblue\nred\nblue\n");
}

#[test]
fn host_functions_know_who_calls() {
    let mut app = common::app();
    app.insert_resource(Time::<Fixed>::from_hz(60.0));
    app.add_host_function("me", |caller: HostCaller, extra: Option<u32>| {
        let [vm, process] = [caller.vm, caller.process].map(|entity| entity.to_bits().to_string());
        Ok::<_, String>((vm, process, caller.pid.get(), extra))
    });
    app.add_call("us", |In((caller, (number,))): In<(HostCaller, (u32,))>| {
        Ok::<_, String>((caller.process.to_bits().to_string(), caller.pid.get(), number))
    });
    let vm = persistent_vm(&mut app);
    let source = "local v, p, pid, extra = me(7) local p2, pid2, n = us(8) return v, p, pid, extra, p2 == p, pid2 == pid, n";
    let processes = [(); 2].map(|()| process(&mut app, vm, source));
    until_ended(&mut app, 2);
    for (pid, process) in (1_u32..).zip(processes) {
        let bits = |entity: Entity| text(&entity.to_bits().to_string());
        let expected =
            vec![bits(vm), bits(process), pid.into(), 7.into(), true.into(), true.into(), 8.into()];
        assert_eq!(exit(&app, process).map(|exit| exit.outcome.clone()), Some(Outcome::Finished(expected)));
    }
}

#[test]
fn what_a_library_cannot_have_is_said_when_it_is_added() {
    type Add = fn(&mut App);
    let cases: [(Add, &str); 5] = [
        (|app| _ = app.host_library("red").add_constant("print", 1), "`print` is Luau's"),
        (|app| _ = app.host_library("red").add_constant("team", 1), "there is `team`"),
        (|app| _ = app.host_library("red").add_constant("base.SIZE", 1), "there is `base.SIZE`"),
        (|app| _ = app.add_constant("base.color.x", 1), "there is `base.color`"),
        (
            |app| _ = app.add_constant("bytes", Value::Buffer([1].into())),
            "buffer, which scripts could change",
        ),
    ];
    common::silence_booms();
    for (add, expected) in cases {
        let mut app = app();
        let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| add(&mut app)));
        let panic = panic.expect_err("it is wrong");
        let message = panic.downcast_ref::<String>().expect("a message");
        assert!(message.contains(expected), "{message}");
    }
    // What is Luau's is found out where a script starts.
    let mut app = common::app();
    app.add_constant("math.pi", 3);
    let Outcome::Failed(error) = outcome(&mut app, "return math.pi") else { panic!("pi is not 3") };
    assert!(error.message.contains("math.pi is there already"), "{error}");
}

#[test]
fn preludes_run_before_scripts_and_give_them_globals() {
    let mut app = app();
    app.add_prelude(Script::new(
        "common",
        "count = (count or 0) + 1
         local own = 0
         function next_number() own += 1 return own end
         for i = 1, 2000 do end
         task.spawn(function() task.wait(0.1) late = 'late' end)
         task.wait()
         return 'nothing'",
    ));
    app.host_library("red").add_prelude(Script::new("reds", "color = base.color() count += 1"));
    let source = "
        local a, b = ...
        next_number()
        print(a, b, count, color, next_number(), process.name, process.args[2], ...)
        task.wait(0.2)
        return late";
    for (libraries, printed) in [(vec![], "1\t2\t1\tnil\t2"), (vec!["red"], "1\t2\t2\tred\t2")] {
        let vm = vm_with(&mut app, &libraries);
        let process = Process::new(Script::new("script", source)).with_args([1, 2]);
        let process = app.world_mut().spawn((process, ProcessOf(vm))).id();
        ticks(&mut app, 30);
        assert_eq!(console(&app, vm), format!("{printed}\tscript\t2\t1\t2\n"));
        let outcome = exit(&app, process).map(|exit| exit.outcome.clone());
        assert_eq!(outcome, Some(Outcome::Finished(vec![text("late")])));
    }
}

#[test]
fn an_error_in_a_prelude_is_one_of_the_process() {
    let mut app = app();
    app.host_library("broken").add_prelude(Script::new("broken", "error('no')"));
    let vm = vm_with(&mut app, &["broken"]);
    let process = process(&mut app, vm, "print('yes')");
    ticks(&mut app, 3);
    let Some(Outcome::Failed(error)) = exit(&app, process).map(|exit| exit.outcome.clone()) else {
        panic!("it has failed");
    };
    assert_eq!((&*error.message, console(&app, vm).as_str()), ("broken:1: no", ""));
}

#[test]
#[should_panic(expected = "add_prelude(\"wrong\")")]
fn a_prelude_has_to_compile() {
    app().add_prelude(Script::new("wrong", "end"));
}

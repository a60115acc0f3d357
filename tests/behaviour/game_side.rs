//! What the game does for its scripts: values that they read, events that they hear, programs that start again.

use std::time::Duration;

use bevy::prelude::*;
use bevy_luau_os::Value;
use bevy_luau_os::prelude::*;
use serde::Serialize;

use crate::common::{self, console, ended, exists, persistent_vm, process, ticks};

#[derive(EntityEvent, Serialize)]
struct Damage {
    #[serde(skip)]
    entity: Entity,
    amount: f32,
}

#[derive(Message, Serialize)]
struct Round(u32);

#[test]
fn a_script_reads_what_was_published_last_without_waiting() {
    let mut app = common::app();
    let vm = persistent_vm(&mut app);
    let publish = |app: &mut App, name: &str, value: u32| {
        app.world_mut().commands().entity(vm).publish(name, (value, "energy"));
        app.world_mut().flush();
    };
    publish(&mut app, "me", 1);
    let script = "
        local function read() local me = host.get('me') return me[1], me[2] end
        local clock = os.clock()
        local first = host.get('me')
        first[1] = 100 -- it is a copy
        print(read()) print(host.get('you'), os.clock() == clock)
        task.wait() print(read()) print(host.get('you')[1])";
    process(&mut app, vm, script);
    let other = persistent_vm(&mut app);
    process(&mut app, other, "print(host.get('me'), pcall(host.get))");
    ticks(&mut app, 2);
    publish(&mut app, "me", 2);
    publish(&mut app, "you", 3);
    ticks(&mut app, 3);
    assert_eq!(console(&app, vm), "1\tenergy\nnil\ttrue\n2\tenergy\n3\n");
    assert!(console(&app, other).starts_with("nil\tfalse\t"), "it is another VM's");
    let published = app.world().get::<bevy_luau_os::PublishedValues>(vm).expect("it is there");
    assert_eq!(published.get("you").cloned().map(Value::to), Some(Ok((3, "energy".to_owned()))));
    app.world_mut().entity_mut(vm).despawn();
    let next = persistent_vm(&mut app);
    process(&mut app, next, "print(host.get('me'))");
    ticks(&mut app, 3);
    assert_eq!(console(&app, next), "nil\n", "where the other one was kept");
}

#[test]
fn events_on_vms_and_processes_and_messages_are_signals() {
    let mut app = common::app();
    app.add_message::<Round>().signal_on::<Damage>("damage").signal_messages::<Round>("round");
    let vm = persistent_vm(&mut app);
    let script = "
        signal.connect('damage', function(damage) print(process.pid, damage.amount) end)
        signal.connect('round', function(round) print(process.pid, 'round', round) end)";
    let [_, second] = [(); 2].map(|()| process(&mut app, vm, script));
    let neither = app.world_mut().spawn_empty().id();
    ticks(&mut app, 3);
    for (entity, amount) in [(vm, 1.0), (second, 2.0), (neither, 3.0)] {
        app.world_mut().trigger(Damage { entity, amount });
    }
    app.world_mut().write_message(Round(7));
    ticks(&mut app, 3);
    let mut lines: Vec<_> = console(&app, vm).lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines, ["1\t1", "1\tround\t7", "2\t1", "2\t2", "2\tround\t7"]);
}

#[derive(Resource, Default)]
struct Heard(Vec<String>);

#[test]
fn a_vm_hears_of_the_ends_of_its_processes() {
    let mut app = common::app();
    app.init_resource::<Heard>();
    let [vm, other] = [(); 2].map(|()| persistent_vm(&mut app));
    app.world_mut().entity_mut(vm).observe(|ended: On<VmProcessExited>, mut heard: ResMut<Heard>| {
        assert_eq!(ended.entity, ended.exit.vm);
        heard.0.push(format!("{} {:?}", ended.exit.pid, ended.exit.outcome));
    });
    process(&mut app, vm, "return 1");
    process(&mut app, other, "return 2");
    let killed = process(&mut app, vm, common::SPIN);
    ticks(&mut app, 3);
    app.world_mut().commands().entity(killed).kill();
    ticks(&mut app, 2);
    assert_eq!(app.world().resource::<Heard>().0, ["1 Finished([Number(1.0)])", "2 Killed(Requested)"]);
}

fn restarting(app: &mut App, source: &str, restart: Restart) -> (Entity, Entity) {
    let vm = app.world_mut().spawn(Vm::new()).id();
    let process = Process::new(Script::new("again", source)).with_name("shop").with_args([5]);
    (vm, app.world_mut().spawn((process, ProcessOf(vm), restart)).id())
}

#[test]
fn a_process_starts_again_with_its_name_and_arguments() {
    let mut app = common::app();
    let (vm, process) = restarting(&mut app, "print(process.pid, process.name, ...)", Restart::always());
    ticks(&mut app, 5);
    assert!(exists(&app, process) && exists(&app, vm));
    assert!(console(&app, vm).starts_with("1\tshop\t5\n2\tshop\t5\n3\tshop\t5\n"), "{}", console(&app, vm));
    app.world_mut().entity_mut(process).insert(Restart::never());
    ticks(&mut app, 3);
    assert!(!exists(&app, process) && !exists(&app, vm));
}

#[test]
fn a_process_starts_again_after_a_time_if_it_has_failed() {
    let mut app = common::app();
    let failing = "task.wait(0.1) if process.pid == 3 then return end error('sold out')";
    let (vm, process) = restarting(&mut app, failing, Restart::after(Duration::from_secs(1)).on_failure());
    ticks(&mut app, 60);
    assert_eq!(ended(&app).processes.len(), 1);
    assert!(exists(&app, vm), "it waits for its process");
    ticks(&mut app, 60);
    assert_eq!(ended(&app).processes.len(), 2);
    ticks(&mut app, 90);
    assert_eq!(ended(&app).processes.len(), 3);
    assert!(!exists(&app, process) && !exists(&app, vm), "it has returned");
}

#[test]
fn what_the_game_ends_does_not_start_again() {
    let mut app = common::app();
    let (vm, process) = restarting(&mut app, "while true do end", Restart::always());
    ticks(&mut app, 3);
    app.world_mut().commands().entity(process).kill_because("enough");
    ticks(&mut app, 3);
    assert!(!exists(&app, process) && !exists(&app, vm));
    assert_eq!(ended(&app).processes.len(), 1);
}

//! Many entities at once.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;

use super::{Enemy, Health, all_types, app, run, vm};
use crate::common;

fn spawn(app: &mut App, count: usize, bundle: impl Bundle + Clone) {
    for i in 0..count {
        let health = Health { current: i as f32, ..default() };
        app.world_mut().spawn((Transform::from_xyz(i as f32, 0.0, 0.0), health, bundle.clone()));
    }
}

#[test]
fn a_query_has_a_column_for_each_path() {
    let mut app = app();
    spawn(&mut app, 1_000, ());
    let vm = vm(&mut app, all_types().all());
    let script = "
        local entities, positions, health = ecs.query({ 'Transform.translation', 'Health.current' })
        local sum = 0
        for i, entity in entities do
            assert(positions[i].x == health[i] and ecs.get(entity, 'Health.current') == health[i])
            sum += health[i]
        end
        return #entities, #positions, sum
    ";
    assert_eq!(run(&mut app, vm, script), "1000 1000 499500");
}

#[test]
fn what_is_read_as_columns_is_written_as_columns() {
    let mut app = app();
    spawn(&mut app, 100, ());
    let vm = vm(&mut app, all_types().all());
    let script = "
        local entities, positions = ecs.query('Transform.translation')
        for i, position in positions do positions[i] = position + vector.one end
        return ecs.set(entities, 'Transform.translation', positions)
    ";
    assert_eq!(run(&mut app, vm, script), "true");
    app.update();
    let mut transforms = app.world_mut().query::<&Transform>();
    let positions: Vec<Vec3> = transforms.iter(app.world()).map(|transform| transform.translation).collect();
    assert!((0..100).all(|i| positions.contains(&Vec3::new(i as f32 + 1.0, 1.0, 1.0))), "{positions:?}");
}

#[test]
fn filters_and_limits_choose_among_what_the_vm_reaches() {
    let mut app = app();
    spawn(&mut app, 5, ());
    spawn(&mut app, 3, Enemy);
    app.world_mut().spawn((Health::default(), bevy::ecs::entity_disabling::Disabled));
    let all = vm(&mut app, all_types().all());
    for (query, expected) in [
        ("{ 'Health' }", "8"),
        ("{ 'Health' }, { with = { 'Enemy' } }", "3"),
        ("{ 'Health' }, { without = 'Enemy' }", "5"),
        ("{}, { with = 'Enemy', limit = 2 }", "2"),
        ("{ 'Health' }, { with = 'Badge' }", "0"),
        ("{ 'Health' }, { without = 'Badge' }", "8"),
        ("{ 'Health' }, { limit = -1 }", "expected a number up to 16384"),
        ("{ 'Health' }, { having = 1 }", "\"having\": there is no such option"),
        ("{ 'Healthy' }", "there is no type `Healthy`"),
        ("7", "argument 1: expected an array of types or paths"),
    ] {
        let found = run(&mut app, all, &format!("return #ecs.query({query})"));
        assert!(found.contains(expected), "{query}: {found}");
    }
    let marked = vm(&mut app, all_types().with::<Enemy>().own());
    app.world_mut().entity_mut(marked).insert((Health::default(), Enemy));
    assert_eq!(run(&mut app, marked, "return #ecs.query('Health')"), "4", "each once");
    let own = vm(&mut app, all_types().own().children());
    app.world_mut().spawn((ChildOf(own), Health::default()));
    assert_eq!(run(&mut app, own, "return #ecs.query('Health')"), "1");
}

#[test]
fn a_hostile_query_costs_its_vm() {
    let mut app = app();
    spawn(&mut app, 20_000, ());
    let all = vm(&mut app, all_types().all());
    assert!(
        run(&mut app, all, "return #ecs.query('Health')")
            .contains("more than 16384 entities: pass a `limit`")
    );
    assert_eq!(run(&mut app, all, "return #ecs.query({}, { with = 'Health', limit = 16384 })"), "16384");
    let greedy = "ecs.query({ 'Health', 'Health', 'Health', 'Health', 'Health' }, { limit = 16384 })";
    assert!(run(&mut app, all, greedy).contains("too much to read at once"));
    let deep = format!("ecs.get(ecs.own(), 'Transform{}')", ".x".repeat(100));
    assert!(run(&mut app, all, &deep).contains("it may have"));
    for i in 0..3 {
        let many = format!("ecs.query({{ {} }})", "'Health',".repeat(17 + i));
        assert!(run(&mut app, all, &many).contains("there may be 16"));
    }
    // Each query is paid for: the one that asks again and again has few slices.
    let [greedy, fair] =
        ["while true do ecs.query('Health', { limit = 10000 }) end", common::SPIN].map(|source| {
            let vm = vm(&mut app, all_types().all());
            common::process(&mut app, vm, source)
        });
    common::ticks(&mut app, 40);
    let [greedy, fair] = [greedy, fair].map(|process| common::info(&app, process).cpu.slices);
    assert!(fair >= 39 && greedy < 30, "{greedy} of {fair}");
}

#[test]
fn a_query_that_takes_too_much_memory_kills_its_process() {
    let mut app = app();
    spawn(&mut app, 10_000, ());
    let vm = vm(&mut app, all_types().all());
    app.world_mut().entity_mut(vm).insert(VmLimits::from(Limits { memory_bytes: 256 << 10, ..default() }));
    let killed =
        run(&mut app, vm, "local t = {} while true do t[#t + 1] = { ecs.query('Health.current') } end");
    assert!(killed.contains("memory") || killed.contains("allocated"), "{killed}");
}

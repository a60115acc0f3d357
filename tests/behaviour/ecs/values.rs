//! Reflected values in scripts.

use bevy::prelude::*;

use super::{Health, all_types, app, run, vm};

#[derive(Component, Reflect, Default, Debug, PartialEq)]
#[reflect(Component, Default)]
struct Robot {
    mood: Mood,
    target: Option<Entity>,
    home: Option<Vec3>,
    route: Vec<Vec2>,
}

#[derive(Reflect, Default, Debug, PartialEq)]
enum Mood {
    #[default]
    Calm,
    Angry {
        at: u8,
    },
}

#[test]
fn values_of_all_kinds_go_both_ways() {
    let mut app = app();
    app.register_type::<Robot>();
    let vm = vm(&mut app, all_types().write::<Robot>().own());
    app.world_mut().entity_mut(vm).insert((Robot::default(), Name::new("wolf"), Health::default()));
    let script = "
        local me = ecs.own()
        local before = ecs.get(me, 'Robot')
        assert(before.mood == 'Calm' and before.target == nil and #before.route == 0)
        before.mood = { Angry = { at = 3 } }
        before.target = me
        before.home = vector.create(1, 2, 3)
        before.route = { { x = 1, y = 2 }, vector.create(3, 4) }
        ecs.set(me, 'Robot', before)
        task.wait()
        local after = ecs.get(me, 'Robot')
        assert(after.target == me and after.home == vector.create(1, 2, 3) and after.mood.Angry.at == 3)
        ecs.set(me, 'Robot.target', nil)
        ecs.set(me, 'Health', { history = { 1, 2, 3 } })
        ecs.set(me, 'Health', { history = { 4 } })
        assert(ecs.get(me, 'Robot.mood.at') == 3 and ecs.get(me, 'Robot.route[1].y') == 4)
        return ecs.get(me, 'Name')
    ";
    assert_eq!(run(&mut app, vm, script), "\"wolf\"");
    app.update();
    let robot = Robot {
        mood: Mood::Angry { at: 3 },
        target: None,
        home: Some(Vec3::new(1.0, 2.0, 3.0)),
        route: vec![Vec2::new(1.0, 2.0), Vec2::new(3.0, 4.0)],
    };
    assert_eq!(app.world().get::<Robot>(vm), Some(&robot));
    assert_eq!(
        app.world().get::<Health>(vm).map(|health| &health.history[..]),
        Some(&[4][..]),
        "it is shorter"
    );
}

#[test]
fn a_type_whose_code_panics_kills_the_process_alone() {
    #[derive(Component, Reflect)]
    #[reflect(Component)]
    struct Odd(f32);

    impl Default for Odd {
        fn default() -> Self {
            panic!("{}", crate::common::BOOM)
        }
    }

    crate::common::silence_booms();
    let mut app = app();
    app.register_type::<Odd>().register_type_data::<Odd, bevy::reflect::std_traits::ReflectDefault>();
    let vm = vm(&mut app, all_types().write::<Odd>().own());
    let killed = run(&mut app, vm, "ecs.insert(ecs.own(), 'Odd', 3)");
    assert!(killed.contains("ecs.insert") && killed.contains(crate::common::BOOM), "{killed}");
    assert_eq!(run(&mut app, vm, "return 1"), "1");
}

//! A save is input: what is wrong with it is found, and nothing comes of it.

use std::sync::Arc;

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use bevy_luau_os::save::SaveKey;
use bevy_luau_os::{VmLoadFailed, VmLoaded, VmSnapshot};

use crate::common::{app, exists, process, ticks, vm};

fn saved() -> VmSnapshot {
    let mut app = app();
    let vm = vm(&mut app);
    process(
        &mut app,
        vm,
        "local t = setmetatable({ x = 1, [2] = 'two' }, { __index = string })
        local c = coroutine.wrap(function() while true do coroutine.yield(t.x) end end)
        task.spawn(function() mailbox.receive() end) task.delay(1, print, 'later')
        while true do c() task.wait() end",
    );
    process(&mut app, vm, "for i = 1, 1e9 do local s = `{i}` end");
    ticks(&mut app, 4);
    LuauRuntime::save_vm(app.world_mut(), vm).expect("it can be saved")
}

#[test]
fn what_is_cut_or_changed_is_refused() {
    let saved = saved();
    let bytes = saved.as_bytes();
    for length in 0..bytes.len() {
        assert!(VmSnapshot::from_bytes(&bytes[..length]).is_err());
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.to_vec();
        changed[at] ^= 0x41;
        assert!(VmSnapshot::from_bytes(changed).is_err(), "{at}");
    }
    assert_eq!(VmSnapshot::from_bytes(bytes), Ok(saved));
}

#[test]
fn a_key_tells_whose_it_is() {
    let (saved, key) = (saved(), SaveKey::new([3; 32]));
    let sealed = saved.to_sealed(&key);
    assert_eq!(VmSnapshot::from_sealed(&sealed, &key), Ok(saved.clone()));
    let other = SaveKey::new([4; 32]);
    let wrong = VmSnapshot::from_sealed(&sealed, &other).expect_err("another key").to_string();
    assert_eq!(wrong, "at byte 11: it is sealed with another key, or damaged");
    assert!(
        VmSnapshot::from_bytes(sealed).is_err() && VmSnapshot::from_sealed(saved.as_bytes(), &key).is_err()
    );
}

/// What has become of images.
#[derive(Resource, Default)]
struct Loads {
    loaded: usize,
    failed: usize,
}

/// A stranger who knows the format seals what he has changed. Whatever it is, it is loaded or refused.
#[test]
fn changed_saves_that_were_sealed_again_do_no_harm() {
    let saved = saved();
    let key = SaveKey::new([5; 32]);
    let sealed = saved.to_sealed(&key);
    let content = sealed.len() - (saved.as_bytes().len() - 43);
    let content = &sealed[content..];
    let mut app = app();
    app.init_resource::<Loads>()
        .add_observer(|_: On<VmLoaded>, mut loads: ResMut<Loads>| loads.loaded += 1)
        .add_observer(|_: On<VmLoadFailed>, mut loads: ResMut<Loads>| loads.failed += 1);
    app.update();
    let mut refused = 0;
    for at in 0..content.len() {
        for change in [1, 0x80, 0xff] {
            let mut changed = content.to_vec();
            changed[at] ^= change;
            let image = VmSnapshot::from_bytes(resealed(&changed)).and_then(|saved| saved.image());
            match image {
                Ok(image) => {
                    let vm = app.world_mut().spawn((image, VmLimits::default())).id();
                    ticks(&mut app, 2);
                    if exists(&app, vm) {
                        app.world_mut().entity_mut(vm).despawn();
                    }
                }
                Err(_) => refused += 1,
            }
        }
    }
    let loads = app.world().resource::<Loads>();
    assert!(
        refused > 0 && loads.loaded > 0 && loads.failed > 0,
        "{refused} {} {}",
        loads.loaded,
        loads.failed
    );
}

/// A container of version 1 around some content.
fn resealed(content: &[u8]) -> Arc<[u8]> {
    let version = 1_u16.to_le_bytes();
    let seal = blake3::Hasher::new().update(&version).update(content).finalize();
    [b"LUAU-OS\n".as_slice(), &version, &[0], seal.as_bytes(), content].concat().into()
}

/// Where the test that runs in another process finds what this one saved.
const FILE: &str = "BEVY_LUAU_OS_TEST_SAVE";

#[test]
fn another_process_of_the_operating_system_goes_on() {
    let file = std::env::temp_dir().join(format!("bevy_luau_os_test_{}.save", std::process::id()));
    std::fs::write(&file, saved().as_bytes()).expect("there is room");
    let test = ["--exact", "strangers::what_another_process_has_saved", "--ignored"];
    let command = std::env::current_exe().expect("it has a path");
    let status = std::process::Command::new(command).args(test).env(FILE, &file).status();
    std::fs::remove_file(&file).expect("it was written");
    assert!(status.expect("it starts").success());
}

#[test]
#[ignore = "another test runs it, with a file"]
fn what_another_process_has_saved() {
    let file = std::env::var_os(FILE).expect("a file");
    let bytes = std::fs::read(file).expect("it was written");
    let image = VmSnapshot::from_bytes(bytes).and_then(|saved| saved.image()).expect("it was saved");
    let mut app = app();
    app.init_resource::<Loads>().add_observer(|_: On<VmLoaded>, mut loads: ResMut<Loads>| loads.loaded += 1);
    let vm = app.world_mut().spawn(image).id();
    ticks(&mut app, 100);
    assert_eq!(app.world().resource::<Loads>().loaded, 1);
    assert_eq!(crate::common::console(&app, vm), "later\n");
    assert_eq!(app.world().get::<Processes>(vm).map(|processes| processes.len()), Some(2));
}

//! What single parts of a save have to keep.

use super::computer::{Computer, LIMITS, PROCESS, load, place, validate};
use crate::luau::image::{ImageLimits, ImageProgram};
use crate::luau::{HostFunctions, LibrarySet, LuauState};
use crate::script::Script;

/// A process that was saved after some slices.
fn saved(source: &str, slices: usize) -> (Computer, Vec<u8>) {
    let mut computer = Computer::start("piece", source);
    (0..slices).for_each(|_| assert!(computer.slice(50), "it has ended: {}", computer.output));
    let image = computer.save().expect("it is not parked");
    (computer, image)
}

#[test]
fn a_program_that_is_gone_or_another_fails_its_process_alone() {
    let (_, image) = saved("local x = 0 while true do x += 1 end", 3);
    let place = place(PROCESS);
    let other = Script::new("piece", "local x = 1 while true do x += 1 end");
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let loaded = state.load_program(&other, LibrarySet::default()).expect("it compiles");
    for program in [None, Some(ImageProgram { script: &other, loaded })] {
        let loaded = state.load_processes(&image, &[place], &[program], &LIMITS).expect("it is an image");
        assert_eq!(loaded.failed.len(), 1, "{loaded:?}");
    }
    state.collect();
    validate(&state);
    assert!(state.threads.is_empty(), "nothing has been put there");
}

#[test]
fn what_it_takes_is_limited() {
    let (computer, image) = saved("local t = {} for i = 1, 500 do t[i] = { i } end while true do end", 40);
    let place = place(PROCESS);
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
    let program = Some(ImageProgram { script: &computer.script, loaded });
    let limits = ImageLimits { bytes: 20_000, ..LIMITS };
    let error = state.load_processes(&image, &[place], &[program], &limits).expect_err("it takes more");
    assert!(error.to_string().contains("bytes of 20000"), "{error}");
    state.load_processes(&image, &[place], &[program], &LIMITS).expect("that is enough");
}

#[test]
fn an_image_says_the_same_after_loading() {
    let source = include_str!("everything.luau");
    let (computer, image) = saved(source, 20);
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
    load(&mut state, &computer.script, loaded, &image).expect("it can be loaded");
    let mut again = Computer::of(state, &computer.script, loaded);
    let image_of_copy = again.save().expect("it is not parked");
    assert_eq!(image.len(), image_of_copy.len());
}

/// With `--nocapture`, how large images are and how long they take.
#[test]
fn figures() {
    let programs = [
        ("endless loop", "while true do end"),
        (
            "coroutine in pcall",
            "while true do pcall(function() coroutine.wrap(function() while true do end end)() end) end",
        ),
        (
            "tables",
            "local state = {} for i=1,20 do state[i]={x=i,y=i*2,name='n'..i} end local i=0 while true do i+=1 \
             local s=state[i%20+1] s.x+=1 s.name='n'..(i%50) end",
        ),
    ];
    const TIMES: u32 = 2000;
    for (name, source) in programs {
        let (mut computer, image) = saved(source, 20);
        let began = std::time::Instant::now();
        for _ in 0..TIMES {
            computer.save();
        }
        let saving = began.elapsed() / TIMES;
        let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
        let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
        let program = Some(ImageProgram { script: &computer.script, loaded });
        let began = std::time::Instant::now();
        for index in 0..TIMES {
            let place = place(crate::types::ProcessIndex(index));
            state.load_processes(&image, &[place], &[program], &LIMITS).expect("it can be loaded");
        }
        let loading = began.elapsed() / TIMES;
        println!("{name}: {} bytes, saved in {saving:?}, loaded in {loading:?}", image.len());
    }
}

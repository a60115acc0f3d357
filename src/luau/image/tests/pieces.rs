//! What single parts of a save have to keep.

use super::computer::{Computer, LIMITS, PROCESS, load, place, validate};
use crate::luau::image::{ImageLimits, ImageProgram};
use crate::luau::{BoxedFunction, Entry, FOR_ALL, HostFunctions, LibrarySet, LuauState};
use crate::script::{Module, Script};
use crate::value::Results;

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

/// Loads an image of one process into another state, with a script. What its error is after some slices.
fn go_on(host: HostFunctions, computer: &Computer, image: &[u8]) -> String {
    let mut state = LuauState::open(host, None).expect("memory");
    let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
    assert_eq!(load(&mut state, &computer.script, loaded, image), Ok(true));
    validate(&state);
    let mut copy = Computer::of(state, &computer.script, loaded);
    (0..500).all(|_| copy.slice(50));
    copy.output
}

/// A library with a function of the game.
fn host(path: &str) -> HostFunctions {
    let mut host = HostFunctions::default();
    let function: BoxedFunction = Box::new(|_| Ok(Results::One(42.0.into())));
    host.add(FOR_ALL, path, Entry::Function(function));
    host
}

#[test]
fn functions_of_the_game_are_found_by_their_names() {
    let source = "local f, t = door.open, door
        for i = 1, 200 do end
        print(f(), t.open())";
    let mut computer = Computer::start_with(host("door.open"), "host", source);
    assert!(computer.slice(50));
    let image = computer.save().expect("it is not parked");
    assert_eq!(go_on(host("door.open"), &computer, &image), "42\t42\nreturned []\n");
    let error = go_on(host("window.open"), &computer, &image);
    assert!(error.contains("door.open is not there any more"), "{error}");
}

#[test]
fn modules_are_those_of_the_program_and_their_instances_go_along() {
    let module = Script::new("counter", "local n = 0 return { next = function() n += 1 return n end }");
    let source = "local counter = require('./counter')
        counter.next()
        for i = 1, 100 do end
        print(counter.next(), require('./counter') == counter)";
    let specifier = "./counter".into();
    let script = Script::new("modules", source).with_modules(vec![Module { specifier, script: module }]);
    let mut computer = Computer::start_script(HostFunctions::default(), script);
    let mut moves = 0;
    while computer.slice(5) {
        if let Some(image) = computer.save() {
            computer = computer.moved(&image);
            moves += 1;
        }
    }
    assert_eq!(computer.output, "2\ttrue\nreturned []\n");
    assert!(moves > 10, "{moves}");
}

#[test]
fn a_weak_table_lets_go_after_loading() {
    let source = "local weak = setmetatable({}, { __mode = 'k' })
        for i = 1, 9 do weak[{}] = i end
        while true do
            local left = 0
            for _ in weak do left += 1 end
            if left <= 1 then break end -- a register may still have one
        end
        return 'empty'";
    let (computer, image) = saved(source, 1);
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
    assert_eq!(load(&mut state, &computer.script, loaded, &image), Ok(true));
    let mut copy = Computer::of(state, &computer.script, loaded);
    for _ in 0..100 {
        copy.state.collect();
        if !copy.slice(500) {
            break;
        }
    }
    assert!(copy.output.contains("empty"), "{}", copy.output);
}

#[test]
fn it_is_charged_to_its_vm_and_given_back() {
    let (computer, image) = saved("local t = {} for i = 1, 900 do t[i] = { i } end while true do end", 40);
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let loaded = state.load_program(&computer.script, LibrarySet::default()).expect("it compiles");
    state.collect();
    let [others, own] = [0, 1].map(|category| state.category_bytes(category));
    assert_eq!(load(&mut state, &computer.script, loaded, &image), Ok(true));
    state.collect();
    let [others_after, own_after] = [0, 1].map(|category| state.category_bytes(category));
    assert!(own_after > 900 * 64, "{own_after}");
    assert!(others_after < others + 20_000, "{others} {others_after}");
    state.retire(PROCESS, 1);
    state.collect();
    assert!(state.category_bytes(1) < own + 4096, "a root is kept for the next process");
}

/// With `--nocapture`, how large images are and how long they take.
#[test]
#[expect(clippy::print_stdout, reason = "they are what it is for")]
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

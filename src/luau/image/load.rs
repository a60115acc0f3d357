//! Loading an image into a state: what was made of it is anchored there, and becomes processes.

use std::sync::Arc;

use super::build::{self, Builder};
use super::bytes::{LoadError, Read, Reader, thread_bits};
use super::cache::ImageCache;
use super::check::{Checker, ThreadPlan};
use super::heap::{Heap, Object, ObjectKind, Value};
use super::meaning::{Found, Meanings};
use super::model::{Item, Model, NativeUpvalues, Saved};
use super::names::driver_of;
use super::processes::{self, SavedProcess};
use super::programs::ProgramParts;
use super::{ImageLimits, ImagePlace, ImageProgram, LoadedImage, known_programs};
use crate::luau::anchors::place_in_table;
use crate::luau::context::Caller;
use crate::luau::notes::Mark;
use crate::luau::records::{INSTANCES, LINKS, RECORDS, STATE};
use crate::luau::slice::follow_resumes;
use crate::luau::stack::{Reference, Stack, Tag};
use crate::luau::state::LuauState;
use crate::luau::thread::Anchored;
use crate::luau::threads::{ProcessThread, SavedExtras, SavedTasks, Tasks};
use crate::luau::transfer;
use crate::types::VmIndex;
use crate::value::Value as Plain;

/// An image that has been read.
struct Image<'i> {
    bytes: &'i [u8],
    model: Model,
    /// Of each program, the hashes of its parts.
    programs: Vec<Vec<u64>>,
    processes: Vec<SavedProcess>,
    functions: Vec<u32>,
}

/// Marks of threads that are saved with them.
const MARKS: [(u8, Mark); 4] = [
    (thread_bits::WAITS, Mark::Waits),
    (thread_bits::KNOWN, Mark::Known),
    (thread_bits::HANDLER, Mark::Handler),
    (thread_bits::REPORTED, Mark::Reported),
];

/// What loading a process leaves.
struct Loaded {
    root: Anchored,
    random: u64,
    extras: SavedExtras,
    tasks: Option<LoadedTasks>,
    handed_over: Option<Reference>,
}

struct LoadedTasks {
    tasks: SavedTasks<Anchored>,
    anchors: Reference,
    results: Vec<Plain>,
}

/// What loading an image leaves.
struct Made {
    /// Or why a process cannot go on.
    processes: Vec<Result<Loaded, String>>,
    functions: Vec<Reference>,
    /// Threads that scripts have made, and marks of threads.
    counted: Vec<Anchored>,
    marked: Vec<(Anchored, Mark)>,
    has_records: bool,
}

impl LuauState {
    /// Loads what [`save_processes`](Self::save_processes) has saved: each process into a place that was never started,
    /// retired or discarded. Programs are in the same order; where one could not be loaded, there is none.
    ///
    /// # Errors
    ///
    /// When the image is not what could have been saved, or has more than the limits allow. Nothing of it is left then but
    /// garbage.
    pub(crate) fn load_processes(
        &mut self,
        image: &[u8],
        places: &[ImagePlace],
        programs: &[Option<ImageProgram<'_>>],
        limits: &ImageLimits,
    ) -> Result<LoadedImage, LoadError> {
        let out_of_memory = || LoadError::new(0, "not enough memory");
        let anchors = self.take_anchors(places).ok_or_else(out_of_memory)?;
        let category = places.first().map_or(0, |place| place.category);
        let roots: Vec<_> = anchors.iter().map(|&(table, anchor)| (table, place_in_table(anchor))).collect();
        let shared = self.shared;
        // SAFETY: it lives as long as we do. What is made is bounded by the limits, and a thread must not be left half
        // made.
        let guard = unsafe { (*shared).slice.grant_all_memory() };
        let environment = programs.iter().flatten().next().map(|program| program.loaded.environment);
        let made = self.with_cache(environment, |stack, heap, cache| {
            load(stack, heap, cache, image, (&roots, category), programs, limits)
        });
        drop(guard);
        self.main().set_memory_category(0);
        let anchors: Vec<u32> = anchors.into_iter().map(|(_, anchor)| anchor).collect();
        match made.unwrap_or_else(|| Err(out_of_memory())) {
            Ok(made) => Ok(self.adopt(made, places, &anchors)),
            Err(error) => {
                self.roots.free_anchors.extend(anchors);
                Err(error)
            }
        }
    }

    /// An anchor for each place.
    fn take_anchors(&mut self, places: &[ImagePlace]) -> Option<Vec<(Reference, u32)>> {
        let mut anchors = Vec::with_capacity(places.len());
        for _ in places {
            let anchor = self.roots.free_anchors.pop().unwrap_or(self.roots.anchors);
            self.roots.anchors = self.roots.anchors.max(anchor + 1);
            match self.anchor_table(anchor) {
                Ok(table) => anchors.push((table, anchor)),
                Err(_) => {
                    let taken = anchors.into_iter().map(|(_, anchor)| anchor).chain([anchor]);
                    self.roots.free_anchors.extend(taken);
                    return None;
                }
            }
        }
        Some(anchors)
    }

    /// The processes are there.
    fn adopt(&mut self, made: Made, places: &[ImagePlace], anchors: &[u32]) -> LoadedImage {
        let vm = places.first().map_or(VmIndex(0), |place| place.vm);
        for &thread in &made.counted {
            thread.get().notes().set_owner(vm.at() + 1);
            self.shared().slice.adopt_coroutine(vm.at());
        }
        for &(thread, mark) in &made.marked {
            thread.get().notes().mark(mark);
        }
        self.has_records |= made.has_records;
        let has_tasks = made.processes.iter().flatten().any(|process| process.tasks.is_some());
        if has_tasks || !made.counted.is_empty() {
            follow_resumes(self.main_thread());
        }
        let mut image = LoadedImage::default();
        for (number, process) in made.processes.into_iter().enumerate() {
            let (place, anchor) = (places[number], anchors[number]);
            match process {
                Ok(process) => self.adopt_process(process, place, anchor),
                Err(why) => {
                    self.roots.free_anchors.push(anchor);
                    image.failed.push((number, why));
                }
            }
        }
        let context = self.context();
        image.functions = made.functions.into_iter().map(|function| context.hand_over(function)).collect();
        image
    }

    fn adopt_process(&mut self, process: Loaded, place: ImagePlace, anchor: u32) {
        let ImagePlace { process: index, entity, pid, vm, .. } = place;
        let caller = Caller::with_random(entity, pid, vm, process.random);
        if index.at() >= self.threads.len() {
            self.threads.resize_with(index.at() + 1, ProcessThread::new);
            self.roots.by_thread.resize(index.at() + 1, 0);
            self.context().callers.resize(index.at() + 1, caller);
        }
        debug_assert!(self.threads[index.at()].root.is_none(), "the place is taken");
        let tasks = process.tasks.map(|LoadedTasks { tasks, anchors, results }| {
            // SAFETY: the threads have been anchored, and checked to be suspended and to have so many values.
            unsafe { Tasks::restore(tasks, process.root, anchors, results) }
        });
        self.threads[index.at()] = ProcessThread::restore(process.root, process.extras, tasks);
        self.roots.by_thread[index.at()] = anchor;
        self.context().callers[index.at()] = caller;
        self.handed_over.extend(process.handed_over.map(|table| (index, table)));
    }
}

impl<'i> Image<'i> {
    fn read(bytes: &'i [u8], natives: &NativeUpvalues) -> Read<Self> {
        let mut reader = Reader::new(bytes);
        let model = Model::read(&mut reader, natives)?;
        let mut programs = Vec::new();
        for _ in 0..reader.count()? {
            let mut parts = Vec::new();
            for _ in 0..reader.count()? {
                parts.push(reader.word()?);
            }
            programs.push(parts);
        }
        let mut processes = Vec::new();
        for _ in 0..reader.count()? {
            processes.push(processes::read(&mut reader)?);
        }
        let mut functions = Vec::new();
        for _ in 0..reader.count()? {
            functions.push(reader.number()? as u32);
        }
        if !reader.is_at_end() {
            return reader.refuse("the image goes on after its end");
        }
        Ok(Self { bytes, model, programs, processes, functions })
    }

    /// Loads the drivers that it needs.
    fn load_drivers(&self, stack: &mut Stack<'_>, heap: &Heap, cache: &mut ImageCache) {
        for item in &self.model.items {
            let driver = match item {
                Item::Named(_, name) => driver_of(&self.bytes[name.clone()]),
                Item::Function { place, .. } if place.program == 0 => Some(place.part),
                _ => None,
            };
            if let Some(driver) = driver {
                cache.names.load_driver(driver, stack, heap);
            }
        }
        cache.find_drivers(heap);
    }
}

/// Reads an image and makes what it has. `roots` are the places of anchor tables for the threads of processes.
fn load(
    stack: &mut Stack<'_>,
    heap: &Heap,
    cache: &mut ImageCache,
    image: &[u8],
    (roots, category): (&[(Reference, i32)], u8),
    programs: &[Option<ImageProgram<'_>>],
    limits: &ImageLimits,
) -> Read<Made> {
    let natives: NativeUpvalues = std::array::from_fn(|number| {
        cache.names.natives.get(number).filter(|kind| kind.address.is_none()).map(|kind| kind.upvalues)
    });
    let image = Image::read(image, &natives)?;
    if image.processes.len() != roots.len() || image.programs.len() != programs.len() {
        return Err(LoadError::new(image.bytes.len(), "it has another number of processes or programs"));
    }
    let mut loaded = Vec::with_capacity(programs.len());
    for program in programs {
        loaded.push(program.and_then(|program| known_programs(stack, heap, cache, &[program]).pop()));
    }
    image.load_drivers(stack, heap, cache);
    let mut known = std::mem::take(&mut cache.known);
    let cache_now = &*cache;
    let programs: Vec<Option<&ProgramParts>> = (loaded.iter().zip(&image.programs))
        .map(|(program, hashes)| {
            program.map(|main| &cache_now.programs[&main]).filter(|it| it.is_same(hashes))
        })
        .collect();
    let made = (|| {
        let meanings = Meanings::find(&image.model, image.bytes, cache_now, heap, &programs)?;
        let mut checker = Checker { model: &image.model, meaning: &meanings, heap, known: &mut known };
        let plans = check(&mut checker, &meanings, &image, limits)?;
        let Some(base) = cache_now.names.base else { return Err(LoadError::new(0, "the state has no base")) };
        stack.set_memory_category(category);
        let parts = ((&image.model, image.bytes), (heap, cache_now), (&meanings, &plans[..]));
        let objects = Builder::new(parts.0, parts.1, parts.2, base).build()?;
        Ok(Anchoring { stack, heap, image: &image, objects: &objects, plans: &plans }.all(roots))
    })();
    cache.known = known;
    made
}

/// Checks everything. Returns what threads get.
fn check(
    checker: &mut Checker<'_, Meanings<'_>>,
    meanings: &Meanings<'_>,
    image: &Image<'_>,
    limits: &ImageLimits,
) -> Read<Vec<Option<ThreadPlan>>> {
    let model = &image.model;
    for number in 0..model.items.len() {
        checker.item(number)?;
        if let Found::Script(code) = meanings.found(number) {
            checker.upvalues(number, code)?;
        }
    }
    let mut plans = Vec::with_capacity(model.items.len());
    let mut coroutines = 0;
    for (number, item) in model.items.iter().enumerate() {
        plans.push(match item {
            Item::Thread(thread) => {
                coroutines += u32::from(thread.bits & thread_bits::COUNTED != 0);
                Some(checker.plan(number, thread)?)
            }
            _ => None,
        });
    }
    let is_broken =
        |thread: u32| plans.get(thread as usize).and_then(Option::as_ref).is_some_and(|it| it.is_broken);
    processes::check(checker, &image.processes, &is_broken)?;
    let end = image.bytes.len();
    for &function in &image.functions {
        if super::check::Meaning::kind(meanings, function) != Some(ObjectKind::FUNCTION) {
            return Err(LoadError::new(end, "a function is none"));
        }
    }
    let bytes = build::bytes(model, &plans);
    if bytes > limits.bytes {
        return Err(LoadError::new(end, format!("it takes {bytes} bytes of {}", limits.bytes)));
    }
    if coroutines > limits.coroutines {
        return Err(LoadError::new(end, format!("it has {coroutines} coroutines of {}", limits.coroutines)));
    }
    Ok(plans)
}

/// Anchors what has been made.
struct Anchoring<'a, 's, 'i> {
    stack: &'a mut Stack<'s>,
    heap: &'a Heap,
    image: &'a Image<'i>,
    objects: &'a [Object],
    plans: &'a [Option<ThreadPlan>],
}

impl Anchoring<'_, '_, '_> {
    fn all(mut self, roots: &[(Reference, i32)]) -> Made {
        let image = self.image;
        let processes = image.processes.iter().zip(roots).map(|(process, &root)| self.process(process, root));
        let processes = processes.collect();
        let functions = image.functions.iter().map(|&function| self.refer_to(function)).collect();
        let mut made = Made {
            processes,
            functions,
            counted: Vec::new(),
            marked: Vec::new(),
            has_records: image.processes.iter().any(|process| process.record.is_some()),
        };
        for (number, item) in image.model.items.iter().enumerate() {
            let Item::Thread(thread) = item else { continue };
            let address = self.thread(number as u32);
            if thread.bits & thread_bits::COUNTED != 0 {
                made.counted.push(address);
            }
            for (bit, mark) in MARKS {
                if thread.bits & bit != 0 {
                    made.marked.push((address, mark));
                }
            }
        }
        made
    }

    fn push(&mut self, number: u32) {
        let object = self.objects[number as usize];
        self.heap.push(Value::Object(object, self.heap.kind(object)));
    }

    fn refer_to(&mut self, number: u32) -> Reference {
        self.push(number);
        let reference = self.stack.refer_to(-1);
        self.stack.pop(1);
        reference
    }

    fn thread(&self, number: u32) -> Anchored {
        let thread = self.objects[number as usize].thread();
        // SAFETY: the checks have seen that it is one. Nothing is collected until its process anchors it, or whoever waits
        // for it has it.
        unsafe { Anchored::new(thread) }
    }

    fn is_broken(&self, thread: u32) -> bool {
        self.plans[thread as usize].as_ref().is_some_and(|plan| plan.is_broken)
    }

    fn process(
        &mut self,
        process: &SavedProcess,
        (table, place): (Reference, i32),
    ) -> Result<Loaded, String> {
        if process.threads().any(|thread| self.is_broken(thread)) {
            return Err("its program is not there any more".to_owned());
        }
        self.stack.push_reference(table);
        self.push(process.root);
        self.stack.raw_set_element(-2, place);
        self.stack.pop(1);
        if let Some(record) = process.record {
            self.record(process.root, record);
        }
        let arguments_table = process.arguments_table.map(|table| self.refer_to(table));
        let handed_over = process.handed_over.map(|table| self.refer_to(table));
        let name = process.name.as_ref().map(|name| Arc::from(&*String::from_utf8_lossy(name)));
        let chain = process.chain.iter().map(|&thread| self.thread(thread)).collect();
        let SavedProcess { arguments, preludes, .. } = *process;
        let extras = SavedExtras { chain, arguments, preludes, arguments_table, name };
        let tasks = process.tasks.as_ref().map(|tasks| self.tasks(process, tasks));
        Ok(Loaded { root: self.thread(process.root), random: process.random, extras, tasks, handed_over })
    }

    fn record(&mut self, root: u32, record: [Option<u32>; 3]) {
        let Some(Item::Thread(root)) = self.image.model.items.get(root as usize) else { return };
        self.stack.push_registered(RECORDS);
        self.push(root.globals);
        self.stack.push_table(0, 2);
        for (field, value) in [LINKS, INSTANCES, STATE].into_iter().zip(record) {
            if let Some(value) = value {
                self.push(value);
                self.stack.raw_set_field(-2, field);
            }
        }
        self.stack.raw_set(-3);
        self.stack.pop(1);
    }

    fn tasks(&mut self, process: &SavedProcess, saved: &SavedTasks<u32>) -> LoadedTasks {
        self.stack.push_table(0, saved.scheduled.len());
        let scheduled = saved.scheduled.iter().map(|task| task.thread);
        let broken = saved.broken.iter().map(|broken| broken.thread);
        for thread in scheduled.chain(broken).chain(saved.current.map(|(_, thread)| thread)) {
            self.stack.push_address(self.thread(thread).address(), Tag::Thread);
            self.push(thread);
            self.stack.raw_set(-3);
        }
        for (&id, &handler) in saved.connections.iter().zip(&process.handlers) {
            self.push(handler);
            self.stack.raw_set_element(-2, id.cast_signed());
        }
        let anchors = self.stack.refer_to(-1);
        self.stack.pop(1);
        let tasks = saved.map(|thread| self.thread(thread));
        LoadedTasks { tasks, anchors, results: self.results(&process.results) }
    }

    /// What the main chunk has returned, as others see it.
    fn results(&mut self, results: &[Saved]) -> Vec<Plain> {
        if results.is_empty() || !u16::try_from(results.len()).is_ok_and(|count| self.stack.has_room(count)) {
            return Vec::new();
        }
        for &result in results {
            match result {
                Saved::Nil => self.heap.push(Value::Nil),
                Saved::Boolean(boolean) => self.heap.push(Value::Boolean(boolean)),
                Saved::Number(number) => self.heap.push(Value::Number(number)),
                Saved::Integer(integer) => self.heap.push(Value::Integer(integer)),
                Saved::Vector(lanes) => self.heap.push(Value::Vector(lanes)),
                Saved::Object(number) => self.push(number),
                Saved::Entity(bits) => self.heap.push(Value::Entity(bits)),
                Saved::Iterator(_) | Saved::DeadKey => self.heap.push(Value::Nil),
            }
        }
        let values = transfer::values(self.stack).values;
        self.stack.resize(0);
        values
    }
}

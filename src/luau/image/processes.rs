//! What an image has of processes beyond their objects.

use super::bytes::{Read, Reader, Writer, process_bits, thread_bits};
use super::check::{Checker, Meaning, resumed_thread, status};
use super::heap::{Object, ObjectKind, Value};
use super::model::{self, Item, Saved, SavedThread};
use super::save::{Refusal, Saver};
use crate::luau::records::{INSTANCES, LINKS, RECORDS, STATE};
use crate::luau::stack::{Kind, Reference, Stack};
use crate::luau::thread::Anchored;
use crate::luau::threads::{SavedBroken, SavedExtras, SavedPlan, SavedTask, SavedTasks};
use crate::luau::transfer;
use crate::value::Value as Plain;

/// A process that is about to be saved.
pub(super) struct Draft {
    pub(super) root: Anchored,
    pub(super) random: u64,
    pub(super) extras: Option<SavedExtras>,
    pub(super) tasks: Option<TasksDraft>,
    pub(super) handed_over: Option<Reference>,
}

/// Its tasks.
pub(super) struct TasksDraft {
    pub(super) tasks: SavedTasks<Anchored>,
    pub(super) anchors: Reference,
    pub(super) results: Vec<Plain>,
}

/// A process that has been read. Objects are numbers.
#[derive(Debug, Default)]
pub(super) struct SavedProcess {
    /// Where it begins in the image.
    pub(super) at: usize,
    pub(super) root: u32,
    pub(super) random: u64,
    /// Links, instances and state.
    pub(super) record: Option<[Option<u32>; 3]>,
    pub(super) chain: Vec<u32>,
    pub(super) arguments: i32,
    pub(super) preludes: i32,
    pub(super) arguments_table: Option<u32>,
    pub(super) name: Option<Vec<u8>>,
    pub(super) tasks: Option<SavedTasks<u32>>,
    /// The functions of the connections, in their order.
    pub(super) handlers: Vec<u32>,
    pub(super) results: Vec<Saved>,
    pub(super) handed_over: Option<u32>,
}

impl SavedProcess {
    /// The threads that it goes on with.
    pub(super) fn threads(&self) -> impl Iterator<Item = u32> {
        let tasks = self.tasks.iter();
        let of_tasks = tasks.flat_map(|tasks| {
            let broken = tasks.broken.iter();
            let broken = broken.flat_map(|it| [it.thread].into_iter().chain(it.chain.iter().copied()));
            let scheduled = tasks.scheduled.iter().map(|task| task.thread);
            tasks.current.iter().map(|(_, thread)| *thread).chain(scheduled).chain(broken)
        });
        [self.root].into_iter().chain(self.chain.iter().copied()).chain(of_tasks)
    }
}

/// Registry keys of what a record has, in the order in which it is saved.
const RECORD: [&std::ffi::CStr; 3] = [LINKS, INSTANCES, STATE];

fn number_of(saver: &mut Saver<'_>, thread: Anchored) -> usize {
    let thread = Object::of_thread(thread.address()).expect("threads of processes are there");
    saver.number(thread)
}

/// The number of the object on top of the stack, which is taken off.
fn number_of_top(saver: &mut Saver<'_>, stack: &mut Stack<'_>) -> Option<usize> {
    let value = saver.heap.at(stack.top());
    stack.pop(1);
    match value {
        Value::Object(object, _) => Some(saver.number(object)),
        _ => None,
    }
}

/// Writes a process, and what it has.
pub(super) fn write(
    saver: &mut Saver<'_>,
    stack: &mut Stack<'_>,
    draft: &Draft,
    has_records: bool,
    out: &mut Writer,
) -> Result<(), Refusal> {
    let root = number_of(saver, draft.root);
    let record = if has_records { record_of(saver, stack, draft.root) } else { None };
    let bits = [
        (record.is_some(), process_bits::RECORD),
        (draft.extras.is_some(), process_bits::EXTRAS),
        (draft.tasks.is_some(), process_bits::TASKS),
        (draft.handed_over.is_some(), process_bits::HANDED_OVER),
    ];
    out.number(root);
    out.byte(bits.iter().filter(|(is_set, _)| *is_set).map(|(_, bit)| bit).sum());
    out.word(draft.random);
    record.iter().flatten().for_each(|&object| out.option(object));
    if let Some(extras) = &draft.extras {
        out.number(extras.chain.len());
        extras.chain.iter().for_each(|&thread| out.number(number_of(saver, thread)));
        out.number(extras.arguments as usize);
        out.number(extras.preludes as usize);
        let table = extras.arguments_table.and_then(|table| {
            stack.push_reference(table);
            number_of_top(saver, stack)
        });
        out.option(table);
        out.byte(extras.name.is_some().into());
        extras.name.iter().for_each(|name| out.bytes(name.as_bytes()));
    }
    if let Some(tasks) = &draft.tasks {
        write_tasks(saver, stack, tasks, out)?;
    }
    if let Some(table) = draft.handed_over {
        stack.push_reference(table);
        let number = number_of_top(saver, stack);
        out.option(number);
    }
    saver.run()
}

fn record_of(saver: &mut Saver<'_>, stack: &mut Stack<'_>, root: Anchored) -> Option<[Option<usize>; 3]> {
    let root = Object::of_thread(root.address())?;
    let globals = saver.heap.thread(root).globals;
    stack.push_registered(RECORDS);
    saver.heap.push(Value::Object(globals, ObjectKind::TABLE));
    let record = (stack.raw_get(-2) == Kind::TABLE).then(|| {
        RECORD.map(|field| {
            stack.raw_get_field(-1, field);
            number_of_top(saver, stack)
        })
    });
    stack.pop(2);
    record
}

fn write_tasks(
    saver: &mut Saver<'_>,
    stack: &mut Stack<'_>,
    draft: &TasksDraft,
    out: &mut Writer,
) -> Result<(), Refusal> {
    let TasksDraft { tasks, anchors, results } = draft;
    out.number(tasks.last_id as usize);
    out.byte(tasks.current.is_some().into());
    if let Some((id, thread)) = tasks.current {
        out.number(id as usize);
        out.number(number_of(saver, thread));
    }
    out.number(tasks.scheduled.len());
    for task in &tasks.scheduled {
        out.number(task.id as usize);
        out.number(number_of(saver, task.thread));
        out.number(task.values as usize);
        let plan = match task.plan {
            SavedPlan::Ready => 0,
            SavedPlan::NextSlice => 1,
            SavedPlan::Wait => 2,
            SavedPlan::Message => 3,
            SavedPlan::Join { has_timeout, .. } => 4 + u8::from(has_timeout),
        };
        out.byte(plan | u8::from(task.by_script) << 3 | u8::from(task.is_ready) << 4);
        if let SavedPlan::Join { of, .. } = task.plan {
            out.number(number_of(saver, of));
        }
    }
    out.number(tasks.broken.len());
    for broken in &tasks.broken {
        out.number(broken.task as usize);
        out.number(number_of(saver, broken.thread));
        out.byte(broken.is_handler.into());
        out.number(broken.chain.len());
        broken.chain.iter().for_each(|&thread| out.number(number_of(saver, thread)));
    }
    out.byte(tasks.choices.iter().fold(0, |bits, &choice| bits << 1 | u8::from(choice)));
    for queue in [&tasks.ready, &tasks.next_slice] {
        out.number(queue.len());
        queue.iter().for_each(|&id| out.number(id as usize));
    }
    out.number(tasks.connections.len());
    stack.push_reference(*anchors);
    for &id in &tasks.connections {
        stack.raw_get_element(-1, id.cast_signed());
        let Some(handler) = number_of_top(saver, stack) else {
            return Err(Refusal::now("a connection has no function"));
        };
        out.number(id as usize);
        out.number(handler);
    }
    stack.pop(1);
    out.number(results.len());
    for result in results {
        transfer::push(stack, result);
        let value = saver.heap.at(stack.top());
        stack.pop(1);
        saver.value(value, out)?;
    }
    Ok(())
}

/// Reads a process.
pub(super) fn read(reader: &mut Reader<'_>) -> Read<SavedProcess> {
    let at = reader.at;
    let mut process = SavedProcess { at, root: object(reader)?, ..SavedProcess::default() };
    let bits = reader.byte()?;
    process.random = reader.word()?;
    if bits & process_bits::RECORD != 0 {
        process.record = Some([option(reader)?, option(reader)?, option(reader)?]);
    }
    if bits & process_bits::EXTRAS != 0 {
        for _ in 0..reader.count()? {
            process.chain.push(object(reader)?);
        }
        process.arguments = reader.number()? as i32;
        process.preludes = reader.number()? as i32;
        process.arguments_table = option(reader)?;
        process.name = if reader.byte()? != 0 { Some(reader.bytes()?.to_vec()) } else { None };
    }
    if bits & process_bits::TASKS != 0 {
        read_tasks(reader, &mut process)?;
    }
    if bits & process_bits::HANDED_OVER != 0 {
        process.handed_over = option(reader)?;
    }
    Ok(process)
}

fn object(reader: &mut Reader<'_>) -> Read<u32> {
    Ok(reader.number()? as u32)
}

fn option(reader: &mut Reader<'_>) -> Read<Option<u32>> {
    Ok(reader.option()?.map(|number| number as u32))
}

fn read_tasks(reader: &mut Reader<'_>, process: &mut SavedProcess) -> Read<()> {
    let last_id = object(reader)?;
    let current = if reader.byte()? != 0 { Some((object(reader)?, object(reader)?)) } else { None };
    let mut scheduled = Vec::new();
    for _ in 0..reader.count()? {
        let (id, thread, values) = (object(reader)?, object(reader)?, reader.number()? as i32);
        let bits = reader.byte()?;
        let plan = match bits & 7 {
            0 => SavedPlan::Ready,
            1 => SavedPlan::NextSlice,
            2 => SavedPlan::Wait,
            3 => SavedPlan::Message,
            4 => SavedPlan::Join { of: object(reader)?, has_timeout: false },
            5 => SavedPlan::Join { of: object(reader)?, has_timeout: true },
            plan => return reader.refuse(format!("a task waits for nothing that is known: {plan}")),
        };
        let (by_script, is_ready) = (bits & 8 != 0, bits & 16 != 0);
        scheduled.push(SavedTask { id, thread, values, by_script, is_ready, plan });
    }
    let mut broken = Vec::new();
    for _ in 0..reader.count()? {
        let (task, thread, is_handler) = (object(reader)?, object(reader)?, reader.byte()? != 0);
        let mut chain = Vec::new();
        for _ in 0..reader.count()? {
            chain.push(object(reader)?);
        }
        broken.push(SavedBroken { task, thread, chain, is_handler });
    }
    let bits = reader.byte()?;
    let choices = [bits & 4 != 0, bits & 2 != 0, bits & 1 != 0];
    let mut queues = [Vec::new(), Vec::new()];
    for queue in &mut queues {
        for _ in 0..reader.count()? {
            queue.push(object(reader)?);
        }
    }
    let [ready, next_slice] = queues;
    let mut connections = Vec::new();
    for _ in 0..reader.count()? {
        connections.push(object(reader)?);
        process.handlers.push(object(reader)?);
    }
    for _ in 0..reader.count()? {
        process.results.push(model::value(reader)?);
    }
    process.tasks =
        Some(SavedTasks { current, scheduled, ready, broken, choices, next_slice, last_id, connections });
    Ok(())
}

/// Who owns threads, of all processes of an image.
#[derive(Default)]
pub(super) struct Owners {
    roots: std::collections::HashSet<u32>,
    /// Those that run, are broken or scheduled.
    taken: std::collections::HashSet<u32>,
}

/// Whether processes are what could have been saved. Those that have a thread that `is_broken`, because its program is
/// not there any more, will not go on.
pub(super) fn check<M: Meaning>(
    checker: &Checker<'_, M>,
    processes: &[SavedProcess],
    is_broken: &dyn Fn(u32) -> bool,
) -> Read<()> {
    let mut owners = Owners::default();
    for process in processes {
        thread_of(checker, process, process.root)?;
        if !owners.roots.insert(process.root) {
            return refuse(process, "two processes have the same thread");
        }
    }
    for process in processes {
        for thread in process.threads() {
            thread_of(checker, process, thread)?;
        }
        if process.threads().any(is_broken) {
            owners.taken.extend(process.threads());
        } else {
            check_one(checker, process, &mut owners)?;
        }
    }
    // Nobody else would ever go on with one that is broken.
    for (number, item) in (0u32..).zip(&checker.model.items) {
        if let Item::Thread(thread) = item
            && thread.status == status::BREAK
            && !owners.taken.contains(&number)
        {
            return checker.model.refuse(number as usize, "a thread is broken of which no process knows");
        }
    }
    Ok(())
}

fn refuse<T>(process: &SavedProcess, why: &'static str) -> Read<T> {
    Err(super::bytes::LoadError::new(process.at, why))
}

fn thread_of<'m, M: Meaning>(
    checker: &Checker<'m, M>,
    process: &SavedProcess,
    number: u32,
) -> Read<&'m SavedThread> {
    match checker.model.items.get(number as usize) {
        Some(Item::Thread(thread)) => Ok(thread),
        _ => refuse(process, "something that is no thread is in the place of one"),
    }
}

fn has_kind<M: Meaning>(checker: &Checker<'_, M>, number: u32, kind: ObjectKind) -> bool {
    checker.meaning.kind(number) == Some(kind)
}

fn check_one<M: Meaning>(checker: &Checker<'_, M>, process: &SavedProcess, owners: &mut Owners) -> Read<()> {
    let tables =
        process.record.iter().flatten().flatten().chain(&process.arguments_table).chain(&process.handed_over);
    if tables.copied().any(|table| !has_kind(checker, table, ObjectKind::TABLE)) {
        return refuse(process, "something that is no table is in the place of one");
    }
    if process.handlers.iter().any(|&handler| !has_kind(checker, handler, ObjectKind::FUNCTION)) {
        return refuse(process, "a connection has no function");
    }
    for &result in &process.results {
        checker.value(0, result).or_else(|_| refuse(process, "a result is no value"))?;
    }
    let root = thread_of(checker, process, process.root)?;
    let waiting = (process.arguments.max(0) as usize).saturating_add(process.preludes.max(0) as usize);
    // While a prelude runs, what follows it is below its frames.
    let there = match root.frames.first() {
        Some(frame) => frame.function.saturating_sub(1),
        None => root.top().saturating_sub(2),
    };
    let is_begun = root.status != status::OK && process.preludes == 0;
    if process.arguments < 0 || process.preludes < 0 || (waiting > 0 && (is_begun || there < waiting)) {
        return refuse(process, "a process has fewer arguments than it says");
    }
    let runs = match &process.tasks {
        Some(tasks) => tasks.current.map(|(_, thread)| thread),
        None => Some(process.root),
    };
    check_chain(checker, process, (runs, &process.chain), owners)?;
    if let Some(tasks) = &process.tasks {
        for broken in &tasks.broken {
            check_chain(checker, process, (Some(broken.thread), &broken.chain), owners)?;
        }
        check_tasks(checker, process, tasks, owners)?;
    }
    Ok(())
}

fn take(owners: &mut Owners, process: &SavedProcess, thread: u32) -> Read<()> {
    let is_foreign = thread != process.root && owners.roots.contains(&thread);
    if is_foreign || !owners.taken.insert(thread) {
        return refuse(process, "a thread has two owners");
    }
    Ok(())
}

/// The threads that are broken, from the one whose turn it is to the innermost.
fn check_chain<M: Meaning>(
    checker: &Checker<'_, M>,
    process: &SavedProcess,
    (runs, chain): (Option<u32>, &[u32]),
    owners: &mut Owners,
) -> Read<()> {
    let Some(mut parent) = runs else {
        return if chain.is_empty() { Ok(()) } else { refuse(process, "nothing runs that could be broken") };
    };
    let is_broken = thread_of(checker, process, parent)?.status == status::BREAK;
    if process.tasks.is_some() && !is_broken {
        return refuse(process, "the task whose turn it is is not broken");
    }
    take(owners, process, parent)?;
    for &child in chain {
        let waits_for = resumed_thread(checker, thread_of(checker, process, parent)?);
        let is_next = waits_for == Some(child) && thread_of(checker, process, child)?.status == status::BREAK;
        if !is_broken || !is_next {
            return refuse(process, "threads that are broken do not wait for each other");
        }
        take(owners, process, child)?;
        parent = child;
    }
    if is_broken && resumed_thread(checker, thread_of(checker, process, parent)?).is_some() {
        return refuse(process, "the innermost thread waits for another one");
    }
    Ok(())
}

fn check_tasks<M: Meaning>(
    checker: &Checker<'_, M>,
    process: &SavedProcess,
    tasks: &SavedTasks<u32>,
    owners: &mut Owners,
) -> Read<()> {
    let mut ids = std::collections::HashMap::new();
    for task in &tasks.scheduled {
        take(owners, process, task.thread)?;
        let thread = thread_of(checker, process, task.thread)?;
        let (is_suspended, there) = match thread.status {
            status::OK => (thread.top() > 1, thread.top().saturating_sub(2)),
            status::YIELD => (true, thread.top() - thread.base),
            _ => (false, 0),
        };
        if !is_suspended || task.values < 0 || task.values as usize > there {
            return refuse(process, "a task is not suspended");
        }
        if let SavedPlan::Join { of, .. } = task.plan {
            thread_of(checker, process, of)?;
            let has_it = thread.frames.last().is_some_and(|frame| {
                let place = thread.values.start + frame.base;
                frame.base < thread.top() && checker.model.values.get(place) == Some(&Saved::Object(of))
            });
            if !has_it {
                return refuse(process, "a task waits for a thread that it does not have");
            }
        }
        if task.id == 0 || ids.insert(task.id, task.is_ready).is_some() {
            return refuse(process, "two tasks have the same number");
        }
    }
    for id in tasks.ready.iter().chain(&tasks.next_slice) {
        if ids.insert(*id, false) != Some(true) {
            return refuse(process, "a task is ready that is not");
        }
    }
    if ids.values().any(|&is_ready| is_ready) {
        return refuse(process, "a task that is ready has no turn");
    }
    let mut connections = std::collections::HashSet::new();
    let is_new = |id: &u32| *id != 0 && !ids.contains_key(id) && i32::try_from(*id).is_ok();
    if !tasks.connections.iter().all(|id| is_new(id) && connections.insert(*id)) {
        return refuse(process, "a connection has no number of its own");
    }
    let is_waiting =
        |thread: &SavedThread| thread.bits & thread_bits::WAITS != 0 && thread.status != status::YIELD;
    let items = tasks.scheduled.iter().map(|task| thread_of(checker, process, task.thread));
    for thread in items {
        if is_waiting(thread?) {
            return refuse(process, "a task waits that does not");
        }
    }
    Ok(())
}

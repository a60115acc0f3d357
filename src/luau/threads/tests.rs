//! The scheduler of a process, with real threads and without slices.

use super::tasks::{Next, Plan, Tasks};
use super::{MAIN, TaskId};
use crate::luau::notes::Mark;
use crate::luau::stack::{Kind, Tag};
use crate::luau::thread::Anchored;
use crate::luau::{HostFunctions, LuauState};

/// A scheduler and threads that have not run, which its table anchors; the first is the root.
fn tasks<const N: usize>() -> (LuauState, Tasks, [Anchored; N]) {
    let mut state = LuauState::open(HostFunctions::default(), None).expect("memory");
    let made = state.protect(|stack| {
        stack.push_table(0, 0);
        let anchors = stack.refer_to(-1);
        let threads = [(); N].map(|()| {
            let thread = stack.push_thread();
            thread.stack().push_boolean(true); // in the place of a function
            stack.push_address(thread.address(), Tag::Thread);
            stack.insert(-2);
            stack.raw_set(-3);
            // SAFETY: the table keeps it, and nothing is collected in these tests.
            unsafe { thread.anchored() }
        });
        stack.pop(1);
        (anchors, threads)
    });
    let (anchors, threads) = made.expect("memory");
    let mut tasks = Tasks::new(threads[0], anchors);
    tasks.current = None;
    (state, tasks, threads)
}

fn schedule(tasks: &mut Tasks, thread: Anchored, plan: Plan) -> TaskId {
    // SAFETY: it has not run, is anchored, and has nothing but what stands for its function.
    unsafe { tasks.schedule(thread, plan, 0, true) }
}

fn turn(tasks: &mut Tasks) -> Option<TaskId> {
    tasks.begin_turn(&mut Vec::new())?;
    tasks.current.take().map(|(task, _)| task)
}

fn is_marked(thread: Anchored, mark: Mark) -> bool {
    thread.get().notes().has(mark)
}

#[test]
fn tasks_have_their_turns_in_the_order_in_which_they_became_ready() {
    let (_state, mut tasks, [_, a, b, c]) = tasks();
    let [first, last] = [a, b].map(|thread| schedule(&mut tasks, thread, Plan::Ready));
    let waits = schedule(&mut tasks, c, Plan::Wait);
    assert!(tasks.is_waiting(waits) && !tasks.is_waiting(first) && tasks.len() == 3);
    assert_eq!(turn(&mut tasks), Some(first));
    assert!(tasks.wake(waits) && !tasks.wake(waits), "only once");
    assert_eq!([turn(&mut tasks), turn(&mut tasks), turn(&mut tasks)], [Some(last), Some(waits), None]);
    assert!(tasks.len() == 0 && ![a, b, c].iter().any(|&thread| is_marked(thread, Mark::Scheduled)));
}

#[test]
fn a_thread_that_is_taken_back_is_in_no_queue() {
    for plan in [Plan::Ready, Plan::NextSlice, Plan::Wait, Plan::Message] {
        let (_state, mut tasks, [_, thread]) = tasks();
        let id = schedule(&mut tasks, thread, plan);
        assert!(is_marked(thread, Mark::Scheduled));
        let (taken, task) = tasks.unschedule(thread.address()).expect("it belongs to the scheduler");
        assert!(taken == id && task.thread == thread && !is_marked(thread, Mark::Scheduled));
        assert!(tasks.unschedule(thread.address()).is_none() && !tasks.wake(id));
        assert!(turn(&mut tasks).is_none() && matches!(tasks.idle(), Next::Returned));
    }
}

#[test]
fn a_process_ends_when_nobody_is_left_whom_something_can_wake() {
    let (_state, mut tasks, [root, a, b]) = tasks();
    schedule(&mut tasks, root, Plan::NextSlice);
    assert!(matches!(tasks.idle(), Next::Yielded), "it goes on in another slice");
    assert!(turn(&mut tasks).is_some());
    // Each waits for the other, for ever.
    schedule(&mut tasks, a, Plan::Join { of: b, has_timeout: false });
    schedule(&mut tasks, b, Plan::Join { of: a, has_timeout: false });
    assert!(matches!(tasks.idle(), Next::Returned));
    schedule(&mut tasks, root, Plan::Wait);
    assert!(matches!(tasks.idle(), Next::Wait));
}

#[test]
fn those_who_join_a_thread_are_marked_on_it_until_the_last_one_has_left() {
    let (_state, mut tasks, [_, of, a, b]) = tasks();
    let join = Plan::Join { of, has_timeout: true };
    let [first, second] = [a, b].map(|thread| schedule(&mut tasks, thread, join));
    assert!(tasks.wake(first), "its time is over");
    assert!(is_marked(of, Mark::Joined));
    tasks.unschedule(b.address());
    assert!(!is_marked(of, Mark::Joined) && tasks.take_joiners(of.address()).is_empty());
    let third = schedule(&mut tasks, b, join);
    assert_eq!(tasks.take_joiners(of.address()), [third]);
    tasks.wake_joiner(third, |stack| {
        stack.push_boolean(true);
        1
    });
    assert_eq!([turn(&mut tasks), turn(&mut tasks)], [Some(first), Some(third)]);
    assert!(second != third && turn(&mut tasks).is_none());
}

#[test]
fn numbers_are_not_used_twice_at_a_time() {
    let (_state, mut tasks, [_, a, b]) = tasks();
    let [first, second] = [a, b].map(|thread| schedule(&mut tasks, thread, Plan::Wait));
    let connection = tasks.next_id();
    tasks.connections.insert(connection);
    assert!(first != second && ![MAIN, first, second].contains(&connection));
    tasks.unschedule(a.address());
    assert!(![MAIN, second, connection].contains(&schedule(&mut tasks, a, Plan::Wait)));
}

#[test]
fn what_is_released_is_not_anchored_any_more_but_the_root_is() {
    let (mut state, mut tasks, [root, thread]) = tasks();
    let has_error = |next| matches!(next, Next::TaskFailed | Next::Failed);
    assert!(
        !has_error(tasks.ended(&mut thread.get().stack(), 0)),
        "0 is the status of one that has returned"
    );
    assert_eq!(thread.get().stack().top(), 0, "what it returned nobody wants");
    for thread in [root, thread] {
        tasks.release(&thread.get().stack());
    }
    let is_anchored = |state: &mut LuauState, thread: Anchored| {
        let mut stack = state.main();
        stack.push_reference(tasks.anchors);
        stack.push_address(thread.address(), Tag::Thread);
        let is_there = stack.raw_get(-2) != Kind::NIL;
        stack.pop(2);
        is_there
    };
    assert!(is_anchored(&mut state, root) && !is_anchored(&mut state, thread));
}

//! Follows script assets: starts the processes that wait for one, and restarts those whose script has
//! changed.

use std::sync::Arc;

use bevy::asset::AssetLoadFailedEvent;
use bevy::platform::collections::HashSet;
use bevy::prelude::*;

use crate::assets::{
    AssetProgram, Blocked, LuauScript, Program, ScriptParam, ScriptReloaded, load_error, name_of,
};
use crate::process::Process;
use crate::runtime::LuauRuntime;

pub(crate) fn follow_assets(
    mut events: MessageReader<AssetEvent<LuauScript>>,
    mut failures: MessageReader<AssetLoadFailedEvent<LuauScript>>,
    mut scripts: ScriptParam,
    mut runtime: ResMut<LuauRuntime>,
    mut processes: Query<&mut Process>,
    mut reloads: MessageWriter<ScriptReloaded>,
) {
    let changed: HashSet<AssetId<LuauScript>> = events.read().filter_map(changed_asset).collect();
    let failures: Vec<_> = failures.read().collect();
    let entries = &mut scripts.known.entries;
    entries.retain(|_, entry| entry.program.strong_count() > 0 || entry.waiting.is_some());
    let is_due = |parts: &HashSet<_>, id| parts.contains(id);
    let due: Vec<(Handle<LuauScript>, Option<Arc<AssetProgram>>)> = entries
        .values()
        .filter(|entry| entry.is_loading || changed.iter().any(|id| is_due(&entry.parts, id)))
        .filter_map(|entry| {
            let program = entry.program.upgrade();
            let handle = program.as_ref().map(|program| &program.handle);
            let handle = handle.or(entry.waiting.as_ref().map(|waiting| &waiting.handle));
            Some((handle?.clone(), program))
        })
        .collect();
    // Assets keep what they were when loading them again fails, so those need not be linked.
    for failure in failures {
        for (id, entry) in entries.iter_mut().filter(|(_, entry)| is_due(&entry.parts, &failure.id)) {
            let message = load_error(&failure.error);
            match (entry.program.upgrade(), &entry.waiting) {
                (Some(program), _) => {
                    let goes_on = "its processes run on as they are";
                    let name = program.script.name();
                    report_failure(&mut reloads, *id, name, goes_on, message, &mut entry.failure);
                }
                // Not the first one, of which they are told when they are admitted.
                (None, Some(waiting)) if entry.failure.is_some() => {
                    let (name, goes_on) = (name_of(&waiting.handle), "its processes wait on");
                    report_failure(&mut reloads, *id, &name, goes_on, message, &mut entry.failure);
                }
                _ => {}
            }
        }
    }
    for (handle, old) in due {
        let linked = scripts.link(&handle);
        let id = handle.id();
        match (linked, old) {
            (Err(Blocked::Loading), _) => continue,
            (Ok(script), Some(old)) if script == old.script => {}
            (Ok(script), Some(_)) => {
                let program = scripts.known.set_program(&handle, script);
                scripts.known.entries.entry(id).or_default().failure = None;
                let restarted = restart(&mut runtime, &mut processes, &program);
                let name = program.script.name();
                info!("{name} has changed; {restarted} processes start again");
                reloads.write(ScriptReloaded { script: id, name: name.into(), result: Ok(restarted) });
            }
            (Err(Blocked::Failed(message)), Some(_)) => {
                let reported = &mut scripts.known.entries.entry(id).or_default().failure;
                let goes_on = "its processes run on as they are";
                report_failure(&mut reloads, id, &name_of(&handle), goes_on, message, reported);
            }
            (_, None) => {} // the processes that wait find out when they are admitted
        }
        let waiting = scripts.known.entries.get_mut(&id).and_then(|entry| entry.waiting.take());
        for (process, spawned_at) in waiting.into_iter().flat_map(|waiting| waiting.processes) {
            runtime.requeue(process, spawned_at);
        }
    }
}

fn changed_asset(event: &AssetEvent<LuauScript>) -> Option<AssetId<LuauScript>> {
    match *event {
        AssetEvent::Added { id } | AssetEvent::Modified { id } => Some(id),
        _ => None,
    }
}

/// Restarts the processes that run an older version of `program`. Returns how many there are.
fn restart(
    runtime: &mut LuauRuntime,
    processes: &mut Query<&mut Process>,
    program: &Arc<AssetProgram>,
) -> usize {
    let mut restarted = 0;
    for mut process in processes {
        let runs_it = matches!(&process.program, Program::Asset(old) if old.handle == program.handle);
        if !runs_it || process.has_ended() {
            continue;
        }
        if process.handle.is_some() {
            let start = process.take_start(true);
            let Some(restarted_as) =
                process.handle.and_then(|it| runtime.restart(it, &program.script, start))
            else {
                continue;
            };
            process.handle = Some(restarted_as);
            restarted += 1;
        }
        process.program = Program::Asset(program.clone());
    }
    restarted
}

fn report_failure(
    reloads: &mut MessageWriter<ScriptReloaded>,
    script: AssetId<LuauScript>,
    name: &str,
    goes_on: &str,
    message: String,
    reported: &mut Option<String>,
) {
    if reported.as_ref() == Some(&message) {
        return;
    }
    warn!("{name} has changed, but {goes_on}: {message}");
    *reported = Some(message.clone());
    reloads.write(ScriptReloaded { script, name: name.into(), result: Err(message) });
}

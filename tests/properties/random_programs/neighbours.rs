//! Processes and VMs beside those that are looked at, which come and go.

use bevy::prelude::*;
use bevy_luau_os::prelude::*;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::app;

/// Scripts that never end: what a break chain, a collection, a kill and a limit can disturb.
const ENDLESS: [&str; 5] = [
    "while true do end",
    "while true do local b = buffer.create(50000) coroutine.yield() end",
    "local t = {} while true do t[#t % 100 + 1] = { t } end",
    "local function layer(n)
        return coroutine.wrap(function()
            while true do
                if n > 0 then for v in layer(n - 1) do coroutine.yield(v) end else coroutine.yield({}) end
            end
        end)
    end
    for v in layer(6) do pcall(function() for i = 1, 10 do end end) end",
    "while true do table.sort({ 5, 3, 4, 1, 2 }, function(a, b) for i = 1, 5 do end return a < b end) end",
];

/// Ends by a limit: only on a VM of its own, because a VM's limit is all its processes' business.
const GREEDY: &str = "local t = {} while true do t[#t + 1] = buffer.create(2^16) end";

/// What happens between two ticks.
#[derive(Clone, Debug)]
pub enum Event {
    /// A process starts on an existing VM.
    Process { vm: Index, script: Index },
    /// A VM with two processes starts.
    Vm { script: Index, other: Index },
    /// A neighbour is despawned.
    Kill(Index),
    /// A neighbour's entity is given another process.
    Replace { process: Index, script: Index },
    /// A VM without any of the programs that are looked at is despawned.
    DespawnVm(Index),
    /// Slices become shorter or longer.
    Quantum(u32),
}

pub fn events() -> impl Strategy<Value = Event> {
    let index = any::<Index>;
    prop_oneof![
        3 => (index(), index()).prop_map(|(vm, script)| Event::Process { vm, script }),
        2 => (index(), index()).prop_map(|(script, other)| Event::Vm { script, other }),
        3 => index().prop_map(Event::Kill),
        1 => (index(), index()).prop_map(|(process, script)| Event::Replace { process, script }),
        1 => index().prop_map(Event::DespawnVm),
        1 => (2u32..50).prop_map(Event::Quantum),
    ]
}

/// See the [module](self).
pub struct Neighbours {
    /// VMs that stay.
    hosts: Vec<Entity>,
    /// VMs that may go.
    vms: Vec<Entity>,
    processes: Vec<Entity>,
    scripts: Vec<String>,
}

impl Neighbours {
    /// Neighbours on `hosts` and on VMs of their own, which run `programs` without printing, too.
    pub fn new(hosts: Vec<Entity>, programs: Vec<String>) -> Self {
        let silent =
            programs.into_iter().map(|program| "local print = function() end ".to_owned() + &program);
        let scripts = silent.chain(ENDLESS.map(str::to_owned)).collect();
        Self { hosts, vms: Vec::new(), processes: Vec::new(), scripts }
    }

    pub fn apply(&mut self, app: &mut App, event: &Event) {
        self.vms.retain(|&vm| app::exists(app, vm));
        self.processes.retain(|&process| app::exists(app, process));
        match event {
            Event::Process { vm, script } => {
                let vms = [&self.hosts[..], &self.vms].concat();
                self.spawn(app, *vm.get(&vms), script);
            }
            Event::Vm { script, other } => {
                let vm = app::vm(app);
                self.vms.push(vm);
                self.spawn(app, vm, script);
                self.spawn(app, vm, other);
                self.processes.push(app::process(app, vm, GREEDY));
            }
            Event::Kill(process) => {
                if !self.processes.is_empty() {
                    app.world_mut().despawn(*process.get(&self.processes));
                }
            }
            Event::Replace { process, script } => {
                if !self.processes.is_empty() {
                    let script = Script::new("other", script.get(&self.scripts).as_bytes());
                    app.world_mut().entity_mut(*process.get(&self.processes)).insert(Process::new(script));
                }
            }
            Event::DespawnVm(vm) => {
                if !self.vms.is_empty() {
                    app.world_mut().despawn(*vm.get(&self.vms));
                }
            }
            Event::Quantum(quantum) => app.world_mut().resource_mut::<LuauRuntime>().set_quantum(*quantum),
        }
    }

    fn spawn(&mut self, app: &mut App, vm: Entity, script: &Index) {
        let process = app::process(app, vm, script.get::<String>(&self.scripts));
        self.processes.push(process);
    }

    /// Despawns all VMs.
    pub fn remove_all(&self, app: &mut App) {
        for &vm in self.hosts.iter().chain(&self.vms).filter(|&&vm| app::exists(app, vm)).collect::<Vec<_>>()
        {
            app.world_mut().despawn(vm);
        }
    }
}

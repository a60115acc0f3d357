//! What a process gets where VMs share the processor, and not processes: a part of its VM's quantum.

use super::keys::ProcessKey;
use super::processes::ProcessRecord;
use crate::types::ProcessIndex;

/// A slice of fewer safepoints would mostly be overhead.
const MIN_SHARED_QUANTUM: u32 = 32;

/// The quantum of a VM of this weight is that of the plugin.
const USUAL_WEIGHT: u64 = 100;

/// The passes of an isolate whose VMs share the processor.
#[derive(Debug, Default)]
pub(super) struct VmShares {
    /// How many processes of each VM wait for a turn in the current pass, or had it.
    turns: Vec<u32>,
    pass: u32,
}

impl VmShares {
    /// Begins a pass in which these processes have a turn.
    pub(super) fn begin_pass(&mut self, records: &[ProcessRecord], turns: &[ProcessKey]) {
        self.pass = self.pass.wrapping_add(1);
        self.turns.fill(0);
        for process in turns {
            let record = &records[process.index.at()];
            let vm = record.vm.at();
            if record.generation == process.generation {
                self.turns.resize(self.turns.len().max(vm + 1), 0);
                self.turns[vm] += 1;
            }
        }
    }

    /// The quantum of a process in this pass, if its VM has the quantum `of_vm` for all of them. `None` if it has its turn
    /// in another pass.
    pub(super) fn quantum(&self, process: ProcessIndex, vm: usize, of_vm: u32) -> Option<u32> {
        let processes = self.turns.get(vm).copied().unwrap_or_default().max(1);
        let min = MIN_SHARED_QUANTUM.min(of_vm);
        if of_vm / processes >= min {
            return Some(of_vm / processes);
        }
        // All of them would take so much. Each has its turn in as large a part of the passes as the VM's quantum is of it.
        let all = u64::from(processes) * u64::from(min);
        let turn = u64::from(self.pass.wrapping_add(process.0)) * u64::from(of_vm);
        (turn % all < u64::from(of_vm)).then_some(min)
    }
}

/// The quantum of a VM of some weight.
pub(super) fn weighted(quantum: u32, weight: u32) -> u32 {
    let weighted = u64::from(quantum) * u64::from(weight.max(1)) / USUAL_WEIGHT;
    u32::try_from(weighted).unwrap_or(u32::MAX).max(super::MIN_QUANTUM)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What each of so many processes of a VM gets in a thousand passes.
    fn granted(processes: u32, of_vm: u32) -> Vec<u64> {
        let mut shares = VmShares { turns: vec![0, processes], pass: 0 };
        let mut granted = vec![0; processes as usize];
        for pass in 0..1_000 {
            shares.pass = pass;
            for process in 0..processes {
                let quantum = shares.quantum(ProcessIndex(process), 1, of_vm);
                granted[process as usize] += quantum.map_or(0, u64::from);
            }
        }
        granted
    }

    #[test]
    fn a_vm_gets_its_quantum_whatever_the_number_of_its_processes() {
        for (processes, of_vm) in
            [(1, 1_000), (3, 1_000), (31, 1_000), (64, 1_000), (200, 1_000), (64, 2), (1, 2)]
        {
            let granted = granted(processes, of_vm);
            let (all, expected) = (granted.iter().sum::<u64>(), u64::from(of_vm) * 1_000);
            assert!(all.abs_diff(expected) <= expected / 20, "{all} of {expected} for {processes}");
            let (min, max) = (granted.iter().min(), granted.iter().max());
            assert!(max.zip(min).is_some_and(|(max, min)| max - min <= 32), "{granted:?}");
        }
    }

    #[test]
    fn a_weight_is_a_factor_on_the_quantum() {
        assert_eq!([1, 50, 100, 10_000].map(|weight| weighted(1_000, weight)), [10, 500, 1_000, 100_000]);
        assert_eq!([0, u32::MAX].map(|weight| weighted(u32::MAX, weight)), [u32::MAX / 100, u32::MAX]);
        assert_eq!(weighted(2, 1), 2, "the least");
    }
}

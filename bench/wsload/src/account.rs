//! What the kernel says about processes: CPU time and memory, from /proc.

use std::fs;
use std::io::{self, Error, ErrorKind};

/// The processes of one server.
#[derive(Clone, Debug, Default)]
pub struct Account {
    pids: Vec<u32>,
}

/// Resident memory of all processes together, KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// What is resident now.
    pub resident: u64,
    /// The most that was resident since [`Account::reset_peak`].
    pub peak: u64,
    /// The part of `resident` that is no file: heap and stacks.
    pub anonymous: u64,
}

impl Account {
    /// An account of these processes.
    pub fn new(pids: impl Into<Vec<u32>>) -> Self {
        Self { pids: pids.into() }
    }

    /// The processes.
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// CPU time of all their living threads, nanoseconds, system calls and the loopback's interrupts included.
    ///
    /// `schedstat` counts in nanoseconds, where `stat` counts in ticks of 10 ms. The figure of a thread that runs this
    /// very moment may be a tick old, so it is read when the work is done.
    pub fn cpu(&self) -> io::Result<u64> {
        let mut sum = 0;
        for pid in &self.pids {
            for task in fs::read_dir(format!("/proc/{pid}/task"))? {
                let line = match fs::read_to_string(task?.path().join("schedstat")) {
                    Ok(line) => line,
                    // The thread ended between the listing and the reading.
                    Err(error) if ended(&error) => continue,
                    Err(error) => return Err(error),
                };
                sum +=
                    line.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).ok_or_else(|| strange("schedstat"))?;
            }
        }
        Ok(sum)
    }

    /// Memory of all of them.
    pub fn memory(&self) -> io::Result<Memory> {
        let mut memory = Memory::default();
        for pid in &self.pids {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            memory.resident += kib(&status, "VmRSS:")?;
            memory.peak += kib(&status, "VmHWM:")?;
            memory.anonymous += kib(&status, "RssAnon:")?;
        }
        Ok(memory)
    }

    /// Lets [`Memory::peak`] start anew at what is resident (proc(5), `clear_refs`).
    pub fn reset_peak(&self) -> io::Result<()> {
        self.pids.iter().try_for_each(|pid| fs::write(format!("/proc/{pid}/clear_refs"), "5"))
    }
}

fn ended(error: &Error) -> bool {
    error.kind() == ErrorKind::NotFound || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

/// Busy time of all cores, all processes together, nanoseconds, in steps of a tick.
pub fn machine_busy() -> io::Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let line = stat.lines().next().ok_or_else(|| strange("/proc/stat"))?;
    let ticks: Vec<u64> = line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect();
    // user nice system idle iowait irq softirq steal (proc(5)); idle and iowait are no work.
    let [user, nice, system, _, _, irq, softirq, steal, ..] = ticks[..] else { return Err(strange("/proc/stat")) };
    Ok((user + nice + system + irq + softirq + steal) * 1_000_000_000 / rustix::param::clock_ticks_per_second())
}

/// The processes that `pid` started.
pub fn children(pid: u32) -> io::Result<Vec<u32>> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
    list.split_whitespace().map(|child| child.parse().map_err(|_| strange("children"))).collect()
}

fn kib(status: &str, key: &str) -> io::Result<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix(key)).ok_or_else(|| strange(key))?;
    line.split_whitespace().next().and_then(|value| value.parse().ok()).ok_or_else(|| strange(key))
}

fn strange(what: &str) -> Error {
    Error::new(ErrorKind::InvalidData, format!("{what} is missing or not as proc(5) says"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_and_memory_of_this_process_show() {
        let me = Account::new([std::process::id()]);
        let before = me.cpu().expect("schedstat");
        let block = std::hint::black_box(vec![1u8; 8 << 20]);
        let mut sum = 0u64;
        // The figure of a running thread is updated at the tick, so work until it moved.
        while me.cpu().expect("schedstat") == before {
            sum += block.iter().map(|&byte| u64::from(byte)).sum::<u64>();
        }
        std::hint::black_box(sum);
        let memory = me.memory().expect("status");
        assert!(memory.resident >= 8 << 10 && memory.peak > 0, "{memory:?}");
    }
}

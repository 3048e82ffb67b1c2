//! The same sends through `io_uring`, to see what batching system calls is worth.
#![allow(unsafe_code, reason = "a submission queue takes raw pointers; this module sees to their lifetime")]

use std::io;
use std::os::fd::AsRawFd;

use io_uring::{IoUring, opcode, types};
use mio::net::TcpStream;
use rustix::net::SendFlags;

const BATCH: usize = 256;

/// A ring of one thread.
pub(crate) struct Ring(IoUring);

impl Ring {
    pub(crate) fn new() -> io::Result<Self> {
        let ring = IoUring::builder().setup_single_issuer().setup_defer_taskrun().build(1024)?;
        Ok(Self(ring))
    }

    /// Sends `bytes` to every receiver, a batch of sends per system call.
    pub(crate) fn send_all<'a>(
        &mut self,
        receivers: impl Iterator<Item = &'a TcpStream>,
        bytes: &[u8],
    ) -> io::Result<()> {
        let flags = (SendFlags::NOSIGNAL | SendFlags::DONTWAIT).bits().cast_signed();
        let mut queued = 0;
        for socket in receivers {
            let length = bytes.len() as u32;
            let send = opcode::Send::new(types::Fd(socket.as_raw_fd()), bytes.as_ptr(), length).flags(flags).build();
            // SAFETY: `bytes` and the sockets are borrowed for this whole call, and it does not return before the
            // kernel has completed every queued send: DONTWAIT makes each complete within `submit_and_wait`.
            unsafe { self.0.submission().push(&send) }.expect("a batch is smaller than the ring");
            queued += 1;
            if queued == BATCH {
                self.finish(queued)?;
                queued = 0;
            }
        }
        self.finish(queued)
    }

    fn finish(&mut self, queued: usize) -> io::Result<()> {
        if queued > 0 {
            self.0.submit_and_wait(queued)?;
            self.0.completion().for_each(drop);
        }
        Ok(())
    }
}

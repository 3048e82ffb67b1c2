//! A registered class whose objects hold no Rust value.
#![allow(unsafe_code, reason = "the engine hands class entries out as pointers")]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use ext_php_rs::args::ArgInfoTables;
use ext_php_rs::zend::ClassEntry;

/// Where a class of ours is. Written by each MINIT, since a web server may start the engine anew in its process.
pub(crate) struct Class(AtomicPtr<ClassEntry>);

impl Class {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Remembers the class, and leaves its argument tables to the engine, which keeps pointers into them.
    pub(crate) fn set(&self, class: &'static mut ClassEntry, arguments: ArgInfoTables) {
        std::mem::forget(arguments);
        self.0.store(class, Relaxed);
    }

    /// The class, which is registered before any code of PHP runs.
    pub(crate) fn entry(&self) -> &'static ClassEntry {
        // SAFETY: null, or a class of the engine's table, which outlives every request.
        unsafe { self.0.load(Relaxed).as_ref() }.expect("MINIT registers every class")
    }
}

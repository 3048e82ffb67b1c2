//! `extension=realtime`: the PHP surface over `realtime-publisher`. It translates and decides nothing.
#![allow(unsafe_code, reason = "the engine calls the hooks of a module")]

mod argument;
mod broadcast;
mod class;
mod client;
mod end;
mod exception;
mod ini;
mod interface;
mod json;
mod question;
mod receipt;
mod reflection;
mod token;
mod zend;

use std::cell::RefCell;
use std::ffi::c_int;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::{Duration, Instant};

use ext_php_rs::builders::ClassBuilder;
use ext_php_rs::class::RegisteredClass;
use ext_php_rs::prelude::{ModuleBuilder, php_module};
use ext_php_rs::zend::{ModuleEntry, ModuleGlobal, ModuleGlobals};
use ext_php_rs::{info_table_end, info_table_row, info_table_start};
use realtime_publisher::{Publisher, Settings};

use crate::client::RealtimeClient;

const SUCCESS: c_int = 0;
const FAILURE: c_int = -1;
/// Causes that tryBroadcast() logs within one `retry_after`. More of them are one flood, which the log is spared.
const MAX_CAUSES: usize = 32;

/// What the process keeps between requests; in a thread-safe PHP, each thread.
#[derive(Default)]
struct Process {
    publisher: Publisher,
    /// Causes of failures that were logged lately, and when.
    logged: RefCell<Vec<(String, Instant)>>,
    /// The settings as they were read last, and at which change.
    settings: RefCell<Option<(u64, Rc<Settings>)>>,
}

static PROCESS: ModuleGlobals<Process> = ModuleGlobals::new();

impl ModuleGlobal for Process {}

impl Process {
    fn settings(&self) -> Rc<Settings> {
        let changes = ini::changes();
        let mut settings = self.settings.borrow_mut();
        match &*settings {
            Some((read_at, settings)) if *read_at == changes => Rc::clone(settings),
            _ => {
                let read = Rc::new(ini::settings());
                *settings = Some((changes, Rc::clone(&read)));
                read
            }
        }
    }

    /// The settings of the request's last call, for when the engine has already taken the request's own back.
    fn last_settings(&self) -> Rc<Settings> {
        let last = self.settings.borrow().as_ref().map(|(_, settings)| Rc::clone(settings));
        last.unwrap_or_else(|| self.settings())
    }

    /// Logs a failure that nobody sees otherwise, unless one of the same cause was logged less than `pause` ago.
    fn log_once(&self, (cause, failure): (String, String), pause: Duration) {
        let now = Instant::now();
        let mut logged = self.logged.borrow_mut();
        logged.retain(|(_, at)| now - *at < pause);
        if logged.len() < MAX_CAUSES && logged.iter().all(|(known, _)| *known != cause) {
            logged.push((cause, now));
            drop(logged);
            zend::log(&format!("RealtimeClient::tryBroadcast(): {failure}"));
        }
    }
}

fn register() -> ext_php_rs::error::Result<()> {
    interface::register()?;
    receipt::register()?;
    exception::register()?;
    let class = ClassBuilder::new(RealtimeClient::CLASS_NAME).implements(interface::REALTIME_PUBLISHER);
    RealtimeClient::method_builders()
        .into_iter()
        .fold(class, |class, (method, flags)| class.method(method, flags))
        .flags(RealtimeClient::FLAGS)
        .object_override::<RealtimeClient>()
        .registration(|class, arguments| {
            for method in ["broadcast", "trybroadcast", "send"] {
                reflection::array_or_string(class, method, 0);
            }
            reflection::array_string_or_null(class, "history", 2);
            reflection::sensitive(class, "__construct", 1);
            RealtimeClient::get_metadata().set_ce(class);
            RealtimeClient::get_metadata().set_arg_info(arguments);
        })
        .register()
}

/// MINIT. Runs in the master process, so it must not connect or start threads.
unsafe fn startup(_kind: c_int, module_number: c_int) -> c_int {
    let started = catch_unwind(|| -> ext_php_rs::error::Result<()> {
        ini::register(module_number);
        register()?;
        end::install();
        Ok(())
    });
    match started {
        Ok(Ok(())) => SUCCESS,
        Ok(Err(error)) => {
            zend::startup_warning(&format!("realtime cannot start: {error}"));
            FAILURE
        }
        // The panic hook has told why.
        Err(_) => FAILURE,
    }
}

/// MSHUTDOWN. The connections end with the module's globals.
unsafe extern "C" fn shutdown(_kind: c_int, module_number: c_int) -> c_int {
    let ended = catch_unwind(|| {
        end::uninstall();
        zend::unregister_ini(module_number);
    });
    match ended {
        Ok(()) => SUCCESS,
        Err(_) => FAILURE,
    }
}

/// What `phpinfo()` and `php --ri realtime` show.
unsafe extern "C" fn info(module: *mut ModuleEntry) {
    // A failed page of information is no reason to end the process, and the panic hook has told why.
    let _ = catch_unwind(|| {
        info_table_start!();
        info_table_row!("Realtime publisher", "enabled");
        info_table_row!("Version", env!("CARGO_PKG_VERSION"));
        info_table_row!("URL schemes", "ws, wss, unix");
        info_table_row!("TLS", "native-tls");
        info_table_end!();
        zend::display_ini(module);
    });
}

/// The module, as the engine asks for it.
#[php_module]
#[php(startup = startup)]
pub fn module(module: ModuleBuilder) -> ModuleBuilder {
    module.name("realtime").globals(&PROCESS).info_function(info).shutdown_function(shutdown)
}

//! The end of a request: what nobody has waited for is settled after the response, in the engine's last step, when no
//! code of PHP can run any more and FPM's user has the whole page. In it no function of the engine may be called that
//! could raise an error.
#![allow(unsafe_code, reason = "the engine calls the hooks of a server interface")]

use std::ffi::c_int;
use std::panic::catch_unwind;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use ext_php_rs::zend::{ExecutorGlobals, SapiGlobals, SapiModule};

use crate::{PROCESS, SUCCESS, zend};

/// `deactivate` of `sapi_module_struct`
type Deactivate = unsafe extern "C" fn() -> c_int;

/// PHP's exit status after an uncaught exception or a fatal error.
const FATAL: c_int = 255;
/// Where HTTP statuses of failed requests begin.
const SERVER_ERROR: c_int = 500;

/// What was there before us. Locked only to copy it.
static PREVIOUS: Mutex<Option<Deactivate>> = Mutex::new(None);

/// Puts our step after the server interface's own. Once per MINIT.
pub(crate) fn install() {
    let mut sapi = SapiModule::get_mut();
    if !is_ours(sapi.deactivate) {
        *PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner) = sapi.deactivate;
        sapi.deactivate = Some(at_end);
    }
}

/// Takes it away, since the module may be unloaded. In MSHUTDOWN.
pub(crate) fn uninstall() {
    let mut sapi = SapiModule::get_mut();
    if is_ours(sapi.deactivate) {
        sapi.deactivate = *PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner);
    }
}

fn is_ours(hook: Option<Deactivate>) -> bool {
    hook.is_some_and(|hook| ptr::fn_addr_eq(hook, at_end as Deactivate))
}

unsafe extern "C" fn at_end() -> c_int {
    let previous = *PREVIOUS.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: it was the server interface's own, and is called as the engine would.
    let result = previous.map_or(SUCCESS, |previous| unsafe { previous() });
    // The panic hook has told why.
    let _ = catch_unwind(settle);
    result
}

fn settle() {
    let process = PROCESS.get();
    if !process.publisher.has_pending() {
        return;
    }
    for line in process.publisher.finish(&process.last_settings(), failed()) {
        zend::log(&format!("RealtimeClient: {line}"));
    }
}

/// Why the request has failed, if it has.
fn failed() -> Option<&'static str> {
    // Each guard is dropped at once.
    let exit_status = ExecutorGlobals::get().exit_status;
    let response = SapiGlobals::get().sapi_headers.http_response_code;
    if exit_status == FATAL {
        Some("the request ended with an uncaught exception or a fatal error")
    } else if response >= SERVER_ERROR {
        Some("the response's status is 500 or more")
    } else {
        None
    }
}

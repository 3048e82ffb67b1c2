//! The settings in php.ini. `ini_set()` and per-directory files change them at any time.
#![allow(unsafe_code, reason = "callbacks of the engine")]

use std::ffi::{CStr, c_int, c_void};
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use ext_php_rs::ffi::{php_output_write, zend_ini_entry, zend_string};
use ext_php_rs::flags::IniEntryPermission;
use ext_php_rs::zend::{IniEntryDef, IniEntryDefs};
use realtime_publisher::Settings;

use crate::zend;

/// The longest time that a setting or argument may name: a day.
pub(crate) const MAX_SECONDS: f64 = 86_400.0;

const URL: &CStr = c"realtime.url";
const KEY: &CStr = c"realtime.key";
const TOKEN_SECRET: &CStr = c"realtime.token_secret";
const TOKEN_KID: &CStr = c"realtime.token_kid";
const TOKEN_AUDIENCE: &CStr = c"realtime.token_audience";
const CONNECT_TIMEOUT: &CStr = c"realtime.connect_timeout";
const TIMEOUT: &CStr = c"realtime.timeout";
const RETRY_AFTER: &CStr = c"realtime.retry_after";
const TLS_CA: &CStr = c"realtime.tls_ca";

const SUCCESS: c_int = 0;
const FAILURE: c_int = -1;
/// `ZEND_INI_STAGE_STARTUP`
const AT_STARTUP: c_int = 1;
/// `ZEND_INI_DISPLAY_ORIG`
const MASTER_VALUE: c_int = 1;

/// The engine calls back before it changes a value, and the thread that changes it reads it only afterwards.
static CHANGES: AtomicU64 = AtomicU64::new(0);

static ENTRIES: IniEntryDefs<10> = IniEntryDefs::new([
    entry(URL, c"", IniEntryPermission::PerDir, accept),
    IniEntryDef { displayer: Some(mask), ..entry(KEY, c"", IniEntryPermission::PerDir, accept) },
    IniEntryDef { displayer: Some(mask), ..entry(TOKEN_SECRET, c"", IniEntryPermission::PerDir, accept) },
    entry(TOKEN_KID, c"", IniEntryPermission::PerDir, accept),
    entry(TOKEN_AUDIENCE, c"", IniEntryPermission::PerDir, accept),
    entry(CONNECT_TIMEOUT, c"1", IniEntryPermission::All, accept_timeout),
    entry(TIMEOUT, c"2", IniEntryPermission::All, accept_timeout),
    entry(RETRY_AFTER, c"5", IniEntryPermission::All, accept_pause),
    entry(TLS_CA, c"", IniEntryPermission::System, accept),
    IniEntryDef::end(),
]);

type OnModify =
    unsafe extern "C" fn(*mut zend_ini_entry, *mut zend_string, *mut c_void, *mut c_void, *mut c_void, c_int) -> c_int;

/// Every entry needs a callback: without one, `ini_restore()` silently does nothing.
const fn entry(
    name: &'static CStr,
    default: &'static CStr,
    permission: IniEntryPermission,
    on_modify: OnModify,
) -> IniEntryDef {
    let mut entry = IniEntryDef::new(name, default, permission);
    entry.on_modify = Some(on_modify);
    entry
}

pub(crate) fn register(module_number: c_int) {
    IniEntryDef::register(ENTRIES.as_slice(), module_number);
}

/// `realtime.url`
pub(crate) fn url() -> String {
    zend::ini_string(URL)
}

/// `realtime.key`
pub(crate) fn key() -> String {
    zend::ini_string(KEY)
}

/// `realtime.token_secret`, byte by byte
pub(crate) fn token_secret() -> Vec<u8> {
    zend::ini_bytes(TOKEN_SECRET)
}

/// `realtime.token_kid`
pub(crate) fn token_kid() -> String {
    zend::ini_string(TOKEN_KID)
}

/// `realtime.token_audience`
pub(crate) fn token_audience() -> String {
    zend::ini_string(TOKEN_AUDIENCE)
}

/// How often a setting was changed, in whatever thread.
pub(crate) fn changes() -> u64 {
    CHANGES.load(Relaxed)
}

/// What the settings allow a call. Reading them takes longer than a broadcast that does not wait, so it is to be kept
/// until [`changes`] grows.
pub(crate) fn settings() -> Settings {
    let path = zend::ini_string(TLS_CA);
    Settings {
        connect_timeout: seconds(CONNECT_TIMEOUT),
        timeout: seconds(TIMEOUT),
        retry_after: seconds(RETRY_AFTER),
        tls_authority: (!path.is_empty()).then(|| path.into()),
    }
}

fn seconds(name: &CStr) -> Duration {
    // What is not a duration was refused when it was set.
    Duration::try_from_secs_f64(zend::ini_float(name)).unwrap_or_default()
}

unsafe extern "C" fn accept(
    _: *mut zend_ini_entry,
    _: *mut zend_string,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    _: c_int,
) -> c_int {
    CHANGES.fetch_add(1, Relaxed);
    SUCCESS
}

unsafe extern "C" fn accept_timeout(
    entry: *mut zend_ini_entry,
    value: *mut zend_string,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    stage: c_int,
) -> c_int {
    // SAFETY: both pointers come from the engine for this call.
    catch_unwind(|| unsafe { check_seconds(entry, value, stage, "greater than 0", |seconds| seconds > 0.0) })
        .unwrap_or(FAILURE)
}

unsafe extern "C" fn accept_pause(
    entry: *mut zend_ini_entry,
    value: *mut zend_string,
    _: *mut c_void,
    _: *mut c_void,
    _: *mut c_void,
    stage: c_int,
) -> c_int {
    // SAFETY: both pointers come from the engine for this call.
    catch_unwind(|| unsafe { check_seconds(entry, value, stage, "0 or more", |seconds| seconds >= 0.0) })
        .unwrap_or(FAILURE)
}

/// A refused `ini_set()` returns false; at startup the default stays, and a warning says so.
unsafe fn check_seconds(
    entry: *mut zend_ini_entry,
    value: *mut zend_string,
    stage: c_int,
    range: &str,
    in_range: fn(f64) -> bool,
) -> c_int {
    // SAFETY: the engine gives a string, or null for an empty value.
    let text = unsafe { value.as_ref() }.and_then(|value| value.as_str().ok()).unwrap_or_default();
    if text.parse().is_ok_and(|seconds| in_range(seconds) && seconds <= MAX_SECONDS) {
        CHANGES.fetch_add(1, Relaxed);
        return SUCCESS;
    }
    if stage == AT_STARTUP {
        // SAFETY: an entry that is being registered has a name.
        let name = unsafe { entry.as_ref().and_then(|entry| entry.name.as_ref()) };
        let name = name.and_then(|name| name.as_str().ok()).unwrap_or("realtime");
        zend::startup_warning(&format!(
            "{name} must be a number of seconds, {range} and at most {MAX_SECONDS}; the default is used"
        ));
    }
    FAILURE
}

/// Shows in `phpinfo()` only whether there is a key or secret.
unsafe extern "C" fn mask(entry: *mut zend_ini_entry, which: c_int) {
    // SAFETY: the engine gives a live entry whose strings are strings or null.
    let set = unsafe {
        entry.as_ref().is_some_and(|entry| {
            let original = which == MASTER_VALUE && !entry.orig_value.is_null();
            let value = if original { entry.orig_value } else { entry.value };
            value.as_ref().is_some_and(|value| !value.is_empty())
        })
    };
    let text: &str = if set { "(set)" } else { "no value" };
    // SAFETY: pointer and length are those of a string.
    unsafe { php_output_write(text.as_ptr().cast(), text.len()) };
}

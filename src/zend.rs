//! The engine functions that ext-php-rs does not bind, each behind a safe function.
#![allow(unsafe_code, reason = "this module is the border to the engine")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr;

use ext_php_rs::exception::PhpException;
use ext_php_rs::ffi::{IS_ARRAY, zend_call_known_function, zend_function, zend_string, zend_type};
use ext_php_rs::flags::{DataType, PropertyFlags};
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, ZendObject, ZendStr, Zval};
use ext_php_rs::zend::{ClassEntry, ExecutorGlobals, ModuleEntry, ZendType, ce};

/// `ZEND_ACC_READONLY`, the same since PHP 8.1.
const READONLY: c_int = 1 << 7;
/// `E_CORE_WARNING`.
const CORE_WARNING: c_int = 1 << 5;
/// `ZEND_PARSE_PARAMS_QUIET`
const QUIET: c_int = 1 << 1;
/// `LOG_ERR` of syslog.
const LOG_ERROR: c_int = 3;

unsafe extern "C" {
    /// Reads all arguments of the running function, with PHP's coercion, `strict_types` and wording.
    pub(crate) fn zend_parse_parameters(count: u32, spec: *const c_char, ...) -> c_int;
    fn zend_parse_parameter(flags: c_int, number: u32, argument: *mut Zval, spec: *const c_char, ...) -> c_int;
    fn zend_argument_error(class: *mut ClassEntry, number: u32, format: *const c_char, ...);
    fn zend_zval_type_name(value: *const Zval) -> *const c_char;
    fn zend_declare_typed_property(
        class: *mut ClassEntry,
        name: *mut zend_string,
        default: *mut Zval,
        flags: c_int,
        comment: *mut zend_string,
        kind: zend_type,
    ) -> *mut c_void;
    fn zend_update_property(
        scope: *mut ClassEntry,
        object: *mut ZendObject,
        name: *const c_char,
        length: usize,
        value: *mut Zval,
    );
    fn zend_ini_string(name: *const c_char, length: usize, original: c_int) -> *const c_char;
    fn zend_ini_double(name: *const c_char, length: usize, original: c_int) -> f64;
    fn zend_unregister_ini_entries(module: c_int);
    fn display_ini_entries(module: *mut ModuleEntry);
    fn zend_error(kind: c_int, format: *const c_char, ...);
    static zend_empty_array: ZendHashTable;
    fn php_log_err_with_severity(message: *const c_char, severity: c_int);
}

/// What to return when the engine has already thrown: it keeps the exception that is pending.
pub(crate) fn pending() -> PhpException {
    PhpException::new("the engine has thrown no exception where it should have".to_owned(), 0, ce::error())
}

/// Reads argument `number` as `string` or `?string`, with PHP's coercion, `strict_types` and wording.
pub(crate) fn parse_string(argument: &mut Zval, number: u32, nullable: bool) -> PhpResult<Option<&str>> {
    // What is a string already needs no coercion, and asking the engine costs as much as all the rest.
    if argument.is_string() {
        return argument.zend_str().map(|string| utf8(string, number)).transpose();
    }
    let spec = if nullable { c"S!" } else { c"S" };
    let mut string: *mut zend_string = ptr::null_mut();
    // SAFETY: `S` takes exactly one `zend_string **`. The running function is ours, so `number` is one of its arguments.
    let result = unsafe { zend_parse_parameter(0, number, argument, spec.as_ptr(), &raw mut string) };
    if result != 0 {
        return Err(pending());
    }
    // SAFETY: the string is the argument's own, which the frame of this call keeps, and which nobody else can change.
    unsafe { string.as_ref() }.map(|string| utf8(string, number)).transpose()
}

/// Reads argument `number`, which is no array, as the other half of `array|string`.
pub(crate) fn parse_string_or_array(argument: &mut Zval, number: u32, nullable: bool) -> PhpResult<&str> {
    if argument.is_string() {
        return parse_string(argument, number, false)?.ok_or_else(pending);
    }
    let mut string: *mut zend_string = ptr::null_mut();
    // SAFETY: as in `parse_string`. Quietly, since the engine's message would not know of the array.
    let result = unsafe { zend_parse_parameter(QUIET, number, argument, c"S".as_ptr(), &raw mut string) };
    // SAFETY: as in `parse_string`.
    match unsafe { string.as_ref() } {
        Some(string) if result == 0 => utf8(string, number),
        _ if ExecutorGlobals::has_exception() => Err(pending()),
        _ if nullable => Err(type_error(number, "must be of type array|string|null", argument)),
        _ => Err(type_error(number, "must be of type array|string", argument)),
    }
}

fn utf8(string: &ZendStr, number: u32) -> PhpResult<&str> {
    string.as_str().map_err(|_| value_error(number, "must be valid UTF-8"))
}

/// Reads argument `number` as `?float`, with PHP's coercion, `strict_types` and wording.
pub(crate) fn parse_float(argument: &mut Zval, number: u32) -> PhpResult<Option<f64>> {
    let (mut float, mut is_null) = (0.0_f64, false);
    // SAFETY: `d!` takes exactly one `double *` and one `bool *`.
    let result = unsafe { zend_parse_parameter(0, number, argument, c"d!".as_ptr(), &raw mut float, &raw mut is_null) };
    if result == 0 { Ok((!is_null).then_some(float)) } else { Err(pending()) }
}

/// Reads argument `number` as `int`, with PHP's coercion, `strict_types` and wording.
pub(crate) fn parse_integer(argument: &mut Zval, number: u32) -> PhpResult<i64> {
    let mut integer = 0_i64;
    // SAFETY: `l` takes exactly one `zend_long *`.
    let result = unsafe { zend_parse_parameter(0, number, argument, c"l".as_ptr(), &raw mut integer) };
    if result == 0 { Ok(integer) } else { Err(pending()) }
}

/// Throws `TypeError: RealtimeClient::broadcast(): Argument #1 ($channel) must be of type array|string, int given`.
pub(crate) fn type_error(number: u32, expected: &str, given: &Zval) -> PhpException {
    // SAFETY: the engine answers with a static string or the name of the value's class.
    let given = unsafe { CStr::from_ptr(zend_zval_type_name(given)) };
    argument_error(ce::type_error(), number, &format!("{expected}, {} given", given.to_string_lossy()))
}

/// Throws `ValueError: RealtimeClient::__construct(): Argument #3 ($timeout) must be greater than 0`.
pub(crate) fn value_error(number: u32, text: &str) -> PhpException {
    argument_error(ce::value_error(), number, text)
}

fn argument_error(class: &ClassEntry, number: u32, text: &str) -> PhpException {
    let text = c_string(text);
    // SAFETY: `%s` takes one string.
    unsafe { zend_argument_error(ptr::from_ref(class).cast_mut(), number, c"%s".as_ptr(), text.as_ptr()) };
    pending()
}

/// Declares `public readonly` property.
pub(crate) fn declare_readonly(class: &mut ClassEntry, name: &str, kind: DataType) {
    let public = c_int::try_from(PropertyFlags::Public.bits()).unwrap_or(1);
    // No primitive type needs a name, which is all that could fail.
    let kind = ZendType::empty_from_type(kind, false, false, false).unwrap_or_else(|| ZendType::empty(false, false));
    let mut undefined = Zval::new();
    // `IS_UNDEF`
    undefined.u1.type_info = 0;
    // SAFETY: the name is interned for the life of the process, and without a default the property is uninitialised.
    unsafe {
        zend_declare_typed_property(
            class,
            ZendStr::new_interned(name, true).into_raw(),
            &raw mut undefined,
            public | READONLY,
            ptr::null_mut(),
            kind,
        );
    }
}

/// Declares `public ?string` property `= null`.
pub(crate) fn declare_optional_text(class: &mut ClassEntry, name: &str) {
    let public = c_int::try_from(PropertyFlags::Public.bits()).unwrap_or(1);
    let kind = ZendType::empty_from_type(DataType::String, false, false, true);
    let kind = kind.unwrap_or_else(|| ZendType::empty(false, true));
    let mut null = Zval::new();
    // SAFETY: as in `declare_readonly`, with null as the default.
    unsafe {
        zend_declare_typed_property(
            class,
            ZendStr::new_interned(name, true).into_raw(),
            &raw mut null,
            public,
            ptr::null_mut(),
            kind,
        );
    }
}

/// Sets declared property number `slot`, from zero, of an object that no code of PHP has seen yet: much cheaper than by
/// its name.
pub(crate) fn init_property(object: &mut ZendObject, slot: usize, value: Zval) {
    // SAFETY: the class declares as many properties, and the engine lays them out in the order of their declaration. The
    // value that is overwritten is undefined, so there is nothing to release.
    unsafe { object.properties_table.as_mut_ptr().add(slot).write(value) };
}

/// The empty array, which takes no memory.
pub(crate) fn empty_array() -> Zval {
    let mut array = Zval::new();
    array.value.arr = (&raw const zend_empty_array).cast_mut();
    array.u1.type_info = IS_ARRAY;
    array
}

/// Sets a property as code of the class `scope` would. Throws where that would, for example when a readonly one is
/// already set, and does nothing when an exception is pending.
pub(crate) fn set_property(scope: &ClassEntry, object: &mut ZendObject, name: &str, value: &mut Zval) {
    if ExecutorGlobals::has_exception() {
        return;
    }
    // SAFETY: all pointers are valid for the call; the engine takes its own reference to the value.
    unsafe {
        zend_update_property(ptr::from_ref(scope).cast_mut(), object, name.as_ptr().cast(), name.len(), value);
    }
}

/// The value of an INI setting as text; empty when there is none.
pub(crate) fn ini_string(name: &CStr) -> String {
    String::from_utf8_lossy(&ini_bytes(name)).into_owned()
}

/// The value of an INI setting; empty when there is none.
pub(crate) fn ini_bytes(name: &CStr) -> Vec<u8> {
    // SAFETY: the name and its length agree; the answer lives until the setting changes, and is copied at once.
    let value = unsafe { zend_ini_string(name.as_ptr(), name.count_bytes(), 0) };
    if value.is_null() {
        return Vec::new();
    }
    // SAFETY: settings are NUL-terminated.
    unsafe { CStr::from_ptr(value) }.to_bytes().to_vec()
}

/// The value of a numeric INI setting.
pub(crate) fn ini_float(name: &CStr) -> f64 {
    // SAFETY: the name and its length agree.
    unsafe { zend_ini_double(name.as_ptr(), name.count_bytes(), 0) }
}

/// Forgets the INI settings of a module that shuts down.
pub(crate) fn unregister_ini(module_number: c_int) {
    // SAFETY: called in the module's own shutdown.
    unsafe { zend_unregister_ini_entries(module_number) };
}

/// Shows the module's INI settings in `phpinfo()`. `module` is what the engine gave to the info function.
pub(crate) fn display_ini(module: *mut ModuleEntry) {
    // SAFETY: the pointer comes from the engine.
    unsafe { display_ini_entries(module) };
}

/// A warning while PHP starts.
pub(crate) fn startup_warning(text: &str) {
    let text = c_string(text);
    // SAFETY: `%s` takes one string.
    unsafe { zend_error(CORE_WARNING, c"%s".as_ptr(), text.as_ptr()) };
}

/// A line in PHP's error log, which never reaches the page.
pub(crate) fn log(text: &str) {
    let text = c_string(text);
    // SAFETY: the engine copies the text.
    unsafe { php_log_err_with_severity(text.as_ptr(), LOG_ERROR) };
}

/// Calls an internal function. An exception that it throws stays pending.
pub(crate) fn call<const N: usize>(name: &str, mut arguments: [Zval; N]) -> PhpResult<Zval> {
    // The guard of the globals is dropped before the call, which may run any code.
    let function = ExecutorGlobals::get().function_table().and_then(|table| {
        // SAFETY: the values of the function table are functions.
        table.get(name).map(|entry| unsafe { entry.value.ptr }.cast::<zend_function>())
    });
    let Some(function) = function else {
        return Err(PhpException::new(format!("{name}() is disabled"), 0, ce::error()));
    };
    let mut result = Zval::new();
    // SAFETY: functions of extensions live as long as the process; the arguments outlive the call.
    unsafe {
        zend_call_known_function(
            function,
            ptr::null_mut(),
            ptr::null_mut(),
            &raw mut result,
            u32::try_from(N).unwrap_or(0),
            arguments.as_mut_ptr(),
            ptr::null_mut(),
        );
    }
    if ExecutorGlobals::has_exception() { Err(pending()) } else { Ok(result) }
}

/// Takes away the pending exception and answers with its message. `None`, and it stays, when there is none, when it is a
/// `TypeError`, which only a mistake in the program causes, or when it stands for `exit()`.
pub(crate) fn take_exception() -> Option<String> {
    let is_failure = ExecutorGlobals::get().exception().is_some_and(|exception| {
        // SAFETY: objects have a class.
        let class = unsafe { &*exception.ce };
        class.instance_of(ce::throwable()) && !class.instance_of(ce::type_error())
    });
    if !is_failure {
        return None;
    }
    let exception = ExecutorGlobals::take_exception()?;
    // A final method of the engine, so no code of the application runs.
    let message = exception.try_call_method("getMessage", Vec::new()).ok();
    let message = message.as_ref().and_then(Zval::str).unwrap_or_default();
    Some(format!("{}: {message}", exception.get_class_name().unwrap_or_default()))
}

/// `text` up to its first NUL, which C strings cannot hold.
fn c_string(text: &str) -> CString {
    CString::new(text.split('\0').next().unwrap_or_default()).unwrap_or_default()
}

//! What the bindings cannot say about a method: union types, and `#[\SensitiveParameter]`.
#![allow(unsafe_code, reason = "the engine keeps methods as pointers")]

use std::ffi::c_void;

use ext_php_rs::ffi::{IS_ARRAY, IS_NULL, IS_STRING, zend_function, zend_string};
use ext_php_rs::types::ZendStr;
use ext_php_rs::zend::ClassEntry;

/// `ZEND_ATTRIBUTE_PERSISTENT`
const PERSISTENT: u32 = 1;
/// The bits of a type mask that name types; those above say how the argument is passed.
const TYPES: u32 = (1 << 18) - 1;

unsafe extern "C" {
    fn zend_add_attribute(
        attributes: *mut *mut c_void,
        name: *mut zend_string,
        arguments: u32,
        flags: u32,
        offset: u32,
        line: u32,
    ) -> *mut c_void;
}

/// Declares the method's argument number `index`, from zero, as `array|string`. Only while the class is registered.
pub(crate) fn array_or_string(class: &ClassEntry, method: &str, index: usize) {
    set_types(class, method, index, 1 << IS_ARRAY | 1 << IS_STRING);
}

/// The same as `array|string|null`.
pub(crate) fn array_string_or_null(class: &ClassEntry, method: &str, index: usize) {
    set_types(class, method, index, 1 << IS_ARRAY | 1 << IS_STRING | 1 << IS_NULL);
}

fn set_types(class: &ClassEntry, method: &str, index: usize, types: u32) {
    let Some(function) = method_of(class, method) else { return };
    // SAFETY: methods of internal classes are written by nobody else while their module starts, and ours have this many
    // arguments.
    unsafe {
        let argument = (*function).common.arg_info.add(index);
        let mask = &mut (*argument).type_.type_mask;
        *mask = (*mask & !TYPES) | types;
    }
}

/// Keeps the value of the method's argument number `index`, from zero, out of stack traces.
pub(crate) fn sensitive(class: &ClassEntry, method: &str, index: u32) {
    let Some(function) = method_of(class, method) else { return };
    let name = ZendStr::new_interned("SensitiveParameter", true).into_raw();
    // SAFETY: as above. Attributes of parameters are counted from one; the name lives as long as the process.
    unsafe {
        let attributes = (&raw mut (*function).common.attributes).cast::<*mut c_void>();
        zend_add_attribute(attributes, name, 0, PERSISTENT, index + 1, 0);
    }
}

fn method_of(class: &ClassEntry, name: &str) -> Option<*mut zend_function> {
    // SAFETY: the values of a class's function table are functions.
    class.function_table.get(name).map(|entry| unsafe { entry.value.ptr }.cast())
}

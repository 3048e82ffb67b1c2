//! Arguments as they come. The types tell reflection what PHP code may pass; reading one follows PHP's own coercion.
//!
//! Numbers count from one, as in PHP's messages.

use std::time::Duration;

use ext_php_rs::convert::{FromZvalMut, StubLiteral};
use ext_php_rs::exception::PhpException;
use ext_php_rs::flags::DataType;
use ext_php_rs::prelude::PhpResult;
use ext_php_rs::types::{ZendHashTable, Zval};

use crate::ini::MAX_SECONDS;
use crate::zend;

/// `string`
pub(crate) struct Text<'a>(&'a mut Zval);

/// `?string = null`
pub(crate) struct OptionalText<'a>(Option<&'a mut Zval>);

/// `?float = null`
pub(crate) struct OptionalFloat<'a>(Option<&'a mut Zval>);

/// `array|string`
pub(crate) struct TextOrArray<'a>(&'a mut Zval);

/// `array|string|null = null`
pub(crate) struct OptionalTextOrArray<'a>(Option<&'a mut Zval>);

/// `array`
pub(crate) struct Array<'a>(&'a mut Zval);

/// `mixed = null`
pub(crate) struct OptionalMixed<'a>(Option<&'a mut Zval>);

/// `mixed`
pub(crate) struct Mixed<'a>(&'a mut Zval);

/// What `array|string` turned out to be.
#[derive(Clone, Copy)]
pub(crate) enum TextOr<'a> {
    Text(&'a str),
    Array(&'a Zval),
}

/// A required parameter of this type.
macro_rules! required {
    ($name:ident, $kind:expr) => {
        impl<'a> FromZvalMut<'a> for $name<'a> {
            const TYPE: DataType = $kind;

            fn from_zval_mut(zval: &'a mut Zval) -> Option<Self> {
                Some(Self(zval))
            }
        }
    };
}

/// A nullable parameter that may be left out.
macro_rules! optional {
    ($name:ident, $kind:expr) => {
        impl<'a> FromZvalMut<'a> for $name<'a> {
            const TYPE: DataType = $kind;
            const NULLABLE: bool = true;

            fn from_zval_mut(zval: &'a mut Zval) -> Option<Self> {
                Some(Self(Some(zval)))
            }

            fn from_missing() -> Option<Self> {
                Some(Self(None))
            }
        }
    };
}

/// A parameter that may be left out for a default of its own.
macro_rules! defaulted {
    ($(#[$doc:meta])* $name:ident, $kind:expr, $default:ty) => {
        $(#[$doc])*
        pub(crate) struct $name<'a>(Result<&'a mut Zval, $default>);

        impl<'a> FromZvalMut<'a> for $name<'a> {
            const TYPE: DataType = $kind;

            fn from_zval_mut(zval: &'a mut Zval) -> Option<Self> {
                Some(Self(Ok(zval)))
            }
        }

        impl From<$default> for $name<'_> {
            fn from(default: $default) -> Self {
                Self(Err(default))
            }
        }

        impl StubLiteral for $name<'_> {
            fn stub_literal(&self) -> String {
                self.0.as_ref().err().map(StubLiteral::stub_literal).unwrap_or_default()
            }
        }
    };
}

required!(Text, DataType::String);
required!(Array, DataType::Array);
required!(Mixed, DataType::Mixed);
// The bindings know no union types; `reflection` makes this one `array|string`.
required!(TextOrArray, DataType::Mixed);
optional!(OptionalTextOrArray, DataType::Mixed);
optional!(OptionalMixed, DataType::Mixed);
optional!(OptionalText, DataType::String);
optional!(OptionalFloat, DataType::Double);

defaulted!(
    /// `string = '…'`
    DefaultedText,
    DataType::String,
    &'static str
);
defaulted!(
    /// `int = …`
    DefaultedInteger,
    DataType::Long,
    i64
);
defaulted!(
    /// `array = []`
    DefaultedArray,
    DataType::Array,
    Empty
);

/// `[]`
#[derive(Clone, Copy)]
pub(crate) struct Empty;

impl StubLiteral for Empty {
    fn stub_literal(&self) -> String {
        "[]".to_owned()
    }
}

impl<'a> DefaultedText<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<&'a str> {
        match self.0 {
            Ok(zval) => Text(zval).read(number),
            Err(default) => Ok(default),
        }
    }
}

impl DefaultedInteger<'_> {
    pub(crate) fn read(self, number: u32) -> PhpResult<i64> {
        self.0.map_or_else(Ok, |zval| zend::parse_integer(zval, number))
    }
}

impl<'a> DefaultedArray<'a> {
    /// `None` when it was left out.
    pub(crate) fn read(self, number: u32) -> PhpResult<Option<&'a ZendHashTable>> {
        self.0.ok().map(|zval| Array(zval).read(number)).transpose()
    }
}

impl<'a> Array<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<&'a ZendHashTable> {
        let Self(zval) = self;
        match zval.array() {
            Some(table) => Ok(table),
            None => Err(zend::type_error(number, "must be of type array", zval)),
        }
    }
}

impl<'a> OptionalMixed<'a> {
    /// `None` when it was left out or is null.
    pub(crate) fn value(self) -> Option<&'a Zval> {
        self.0.map(|zval| &*zval).filter(|zval| !zval.is_null())
    }
}

impl<'a> OptionalTextOrArray<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<Option<TextOr<'a>>> {
        match self.0 {
            Some(zval) if !zval.is_null() => text_or_array(zval, number, true).map(Some),
            _ => Ok(None),
        }
    }
}

impl<'a> Text<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<&'a str> {
        zend::parse_string(self.0, number, false)?.ok_or_else(zend::pending)
    }
}

impl<'a> OptionalText<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<Option<&'a str>> {
        match self.0 {
            Some(zval) => zend::parse_string(zval, number, true),
            None => Ok(None),
        }
    }
}

impl OptionalFloat<'_> {
    /// Seconds, more than none.
    pub(crate) fn read_seconds(self, number: u32) -> PhpResult<Option<Duration>> {
        let Some(zval) = self.0 else { return Ok(None) };
        let Some(seconds) = zend::parse_float(zval, number)? else { return Ok(None) };
        if seconds > 0.0 && seconds <= MAX_SECONDS {
            Ok(Some(Duration::from_secs_f64(seconds)))
        } else {
            Err(zend::value_error(number, &format!("must be greater than 0 and at most {MAX_SECONDS} seconds")))
        }
    }
}

impl<'a> Mixed<'a> {
    pub(crate) fn value(self) -> &'a Zval {
        self.0
    }
}

impl<'a> TextOrArray<'a> {
    pub(crate) fn read(self, number: u32) -> PhpResult<TextOr<'a>> {
        text_or_array(self.0, number, false)
    }
}

fn text_or_array(zval: &mut Zval, number: u32, nullable: bool) -> PhpResult<TextOr<'_>> {
    if zval.is_array() {
        return Ok(TextOr::Array(zval));
    }
    zend::parse_string_or_array(zval, number, nullable).map(TextOr::Text)
}

/// The names in a list of channels. Array keys that look like integers are integers in PHP, so those are taken too.
pub(crate) fn channel_names(list: &Zval, number: u32) -> PhpResult<Vec<String>> {
    match list.array() {
        Some(table) if !table.is_empty() => table.values().map(|value| channel_name(value, number)).collect(),
        _ => Err(zend::value_error(number, "must not be empty")),
    }
}

/// The same of a list that may be empty, and may have references in it.
pub(crate) fn names(list: &ZendHashTable, number: u32) -> PhpResult<Vec<String>> {
    list.values().map(|value| channel_name(value.dereference(), number)).collect()
}

fn channel_name(value: &Zval, number: u32) -> Result<String, PhpException> {
    if let Some(number) = value.long() {
        return Ok(number.to_string());
    }
    let Some(name) = value.zend_str() else {
        return Err(zend::type_error(number, "must contain only values of type string", value));
    };
    match name.as_str() {
        Ok(name) => Ok(name.to_owned()),
        Err(_) => Err(zend::value_error(number, "must contain only valid UTF-8")),
    }
}

//! Tells the extension which kind of PHP it is built for.
//!
//! The PHP is the one in `PATH`, or the one that `PHP` and `PHP_CONFIG` name. The result works with its minor version
//! and its kind of build only.

use std::error::Error;

use ext_php_rs_build::{PHPInfo, find_php};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=PHP");
    println!("cargo::rerun-if-env-changed=PHP_CONFIG");
    println!("cargo::rustc-check-cfg=cfg(php_zts, php_debug)");
    let php = PHPInfo::get(&find_php()?)?;
    if php.thread_safety()? {
        println!("cargo::rustc-cfg=php_zts");
    }
    if php.debug()? {
        println!("cargo::rustc-cfg=php_debug");
    }
    // The Zend symbols come from the process that loads the extension. Only Apple's linker has to be told.
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("macos") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-undefined,dynamic_lookup");
    }
    Ok(())
}

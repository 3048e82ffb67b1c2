#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| realtime_server::fuzzing::publisher(input));

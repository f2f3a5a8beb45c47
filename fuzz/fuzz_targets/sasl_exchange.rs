#![no_main]

libfuzzer_sys::fuzz_target!(|octets: &[u8]| beep_fuzz::sasl_exchange::run(octets));

//! Compiles the shim (`src/shim/`, a program of its own, std only) into one static file that the library carries.

use std::env;
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/shim");
    let variable = |name: &str| env::var_os(name).ok_or_else(|| format!("cargo did not set {name}"));
    let program = PathBuf::from(variable("OUT_DIR")?).join("slipway-shim");
    let mut compiler = Command::new(variable("RUSTC")?);
    compiler.args(["--edition", "2024", "--crate-name", "slipway_shim", "--crate-type", "bin", "-O"]);
    for option in ["panic=abort", "strip=symbols", "codegen-units=1", "target-feature=+crt-static"] {
        compiler.args(["-C", option]);
    }
    compiler.arg("--target").arg(variable("TARGET")?).args(["--cap-lints", "warn"]);
    if let Some(linker) = env::var_os("RUSTC_LINKER") {
        let mut option = std::ffi::OsString::from("linker=");
        option.push(linker);
        compiler.arg("-C").arg(option);
    }
    compiler.arg("-o").arg(&program).arg("src/shim/main.rs");
    let output = compiler.output().map_err(|e| format!("failed to run {compiler:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!("failed to compile the shim:\n{}", String::from_utf8_lossy(&output.stderr)).into());
    }
    for line in String::from_utf8_lossy(&output.stderr).lines().filter(|l| l.starts_with("warning")) {
        println!("cargo::warning=shim: {line}");
    }
    println!("cargo::rustc-env=SLIPWAY_SHIM_HASH={:032x}", fnv1a(&fs::read(&program)?));
    Ok(())
}

/// FNV-1a in 128 bits: it names builds, nothing relies on it being hard to forge.
fn fnv1a(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |hash, byte| (hash ^ u128::from(*byte)).wrapping_mul(PRIME))
}

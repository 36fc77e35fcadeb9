//! Numbers as text and back, as GitHub has them.

/// GitHub's reading of a number: surrounding white space is dropped, nothing is 0, and what is no number is NaN. Hexadecimal
/// (`0x`) and octal (`0o`) numbers are 32 bits wide, so `0xffffffff` is -1.
pub(super) fn parse(text: &str) -> f64 {
    let text = text.trim();
    match text {
        "" => return 0.0,
        "Infinity" | "+Infinity" => return f64::INFINITY,
        "-Infinity" => return f64::NEG_INFINITY,
        _ => {}
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    // Rust also reads words such as "inf", which are no numbers here.
    if text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-' | b'.' | b'e' | b'E')) {
        return text.parse().unwrap_or(f64::NAN);
    }
    f64::NAN
}

fn radix(digits: &str, radix: u32) -> f64 {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return f64::NAN;
    }
    u32::from_str_radix(digits, radix).map_or(f64::NAN, |bits| f64::from(bits as i32))
}

/// GitHub's text of a number: .NET's `G15`, that is 15 significant digits, with an exponent (`1E+15`, `1E-05`) from 15
/// digits before or five zeros behind the point on. `-0` is `0`.
pub(super) fn to_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    if number == 0.0 {
        return "0".to_owned();
    }
    // The common case, without the detour.
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).to_string();
    }
    let written = format!("{:.14e}", number.abs());
    let (mantissa, exponent) = written.split_once('e').expect("`{:e}` writes an exponent");
    let exponent: i32 = exponent.parse().expect("`{:e}` writes a whole exponent");
    let digits: String = mantissa.chars().filter(|c| *c != '.').collect();
    let digits = digits.trim_end_matches('0');
    let mut out = String::from(if number < 0.0 { "-" } else { "" });
    if exponent > -5 && exponent < 15 {
        if exponent < 0 {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
            out.push_str(digits);
        } else {
            let whole = exponent as usize + 1;
            if digits.len() <= whole {
                out.push_str(digits);
                out.extend(std::iter::repeat_n('0', whole - digits.len()));
            } else {
                out.push_str(&digits[..whole]);
                out.push('.');
                out.push_str(&digits[whole..]);
            }
        }
    } else {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        out.push_str(&format!("E{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()));
    }
    out
}

/// The shortest text that reads back as the same number: whole numbers below 1e21 in full, `-0` as such, NaN and the
/// infinities as words.
pub(super) fn to_exact_text(number: f64) -> String {
    if !number.is_finite() {
        return to_text(number);
    }
    let size = number.abs();
    if number.fract() == 0.0 && size < 1e21 {
        format!("{number:.0}")
    } else if (1e-6..1e21).contains(&size) {
        format!("{number}")
    } else {
        format!("{number:e}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_becomes_a_number_or_nan() {
        assert_eq!(parse(" -1.2E+2 "), -120.0);
        assert_eq!(parse("5."), 5.0);
        assert_eq!(parse("0xFFFFFFFF"), -1.0);
        assert_eq!(parse("0o17"), 15.0);
        assert_eq!(parse("1e999"), f64::INFINITY);
        for bad in ["inf", "nan", "infinity", "0X1F", "0x", "0x1ffffffff", "1e", ".", "1_000", "--1", "0o8", "0x+1"] {
            assert!(parse(bad).is_nan(), "{bad}");
        }
    }

    #[test]
    fn fifteen_digits_are_kept_in_text() {
        for (number, text) in [
            (0.1 + 0.2, "0.3"),
            (1e15, "1E+15"),
            (-1.5e300, "-1.5E+300"),
            (999_999_999_999_999.0, "999999999999999"),
            (123_456_789_012_345_680.0, "1.23456789012346E+17"),
            (0.0001, "0.0001"),
            (0.00001, "1E-05"),
            (-0.0, "0"),
            (1.0 / 3.0, "0.333333333333333"),
            (999_999_999_999_999.9, "1E+15"),
        ] {
            assert_eq!(to_text(number), text);
        }
    }

    #[test]
    fn exact_text_reads_back() {
        for number in [0.0, -0.0, 1.0, 1e20, 1e21, 1e-7, 0.1, f64::MAX, f64::MIN_POSITIVE, 123_456_789.123_456_79] {
            let text = to_exact_text(number);
            assert_eq!(text.parse::<f64>().unwrap().to_bits(), number.to_bits(), "{text}");
        }
        assert_eq!(to_exact_text(-0.0), "-0");
        assert_eq!(to_exact_text(1e21), "1e21");
    }
}

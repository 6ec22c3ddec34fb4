//! Numbers as people write and read them.

use std::time::Duration;

/// `10m`, `1h30m`, `250ms`, in the policy language's units; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    const UNITS: [(&str, f64); 7] =
        [("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0)];
    let wrong = || "a duration such as `10m`, `1h30m` or `500ms` is expected".to_owned();
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let letters = rest.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(rest.len());
        let unit = if letters == 0 { "s" } else { &rest[..letters] };
        let unit = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        seconds += number * unit.1;
        rest = &rest[letters..];
    }
    match Duration::try_from_secs_f64(seconds) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(wrong()),
    }
}

/// `20k`, `1.5M`: a number above zero, by thousands as the policy language writes rates.
pub(crate) fn parse_count(text: &str) -> Result<f64, String> {
    const UNITS: [(char, f64); 3] = [('k', 1e3), ('M', 1e6), ('G', 1e9)];
    let unit = UNITS.iter().find(|(letter, _)| text.ends_with(*letter));
    let (digits, scale) =
        unit.map_or((text, 1.0), |(letter, scale)| (text.strip_suffix(*letter).unwrap_or(text), *scale));
    let number = digits.parse::<f64>().ok().filter(|number| number.is_finite() && *number > 0.0);
    number
        .map(|number| number * scale)
        .ok_or_else(|| "a number such as `500`, `20k` or `1.5M` is expected".to_owned())
}

/// `5.15` → (5, 15).
pub(crate) fn parse_kernel(text: &str) -> Result<(u16, u16), String> {
    let wrong = || "a kernel version such as `5.15` is expected".to_owned();
    let (major, minor) = text.split_once('.').ok_or_else(wrong)?;
    Ok((major.parse().map_err(|_| wrong())?, minor.parse().map_err(|_| wrong())?))
}

/// 1234567 → `1,234,567`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// 1234567.0 → `1.23M`: three digits that count, for what moves.
pub(crate) fn short(number: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let step = STEPS.iter().find(|(size, _)| number >= *size * 0.9995);
    let (scaled, unit) = step.map_or((number, ""), |(size, unit)| (number / size, *unit));
    match scaled {
        s if unit.is_empty() && s.fract() == 0.0 => format!("{s:.0}"),
        s if s >= 99.95 => format!("{s:.0}{unit}"),
        s if s >= 9.995 => format!("{s:.1}{unit}"),
        s => format!("{s:.2}{unit}"),
    }
}

/// A count and its noun: `1 packet`, `2 packets`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{} {noun}{plural}", grouped(count))
}

/// Two hexadecimal digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of memory: `4.0 MiB`.
pub(crate) fn memory(bytes: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match STEPS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes as f64 / *size as f64),
        None => format!("{bytes} B"),
    }
}

/// `12.3 ms`, `850 µs`, `2m 5s`.
pub(crate) fn duration(time: Duration) -> String {
    match time.as_secs_f64() {
        s if s >= 3600.0 => format!("{}h {}m", s as u64 / 3600, s as u64 / 60 % 60),
        s if s >= 60.0 => format!("{}m {}s", s as u64 / 60, s as u64 % 60),
        s if s >= 1.0 => format!("{s:.1} s"),
        s if s >= 1e-3 => format!("{:.1} ms", s * 1e3),
        s => format!("{:.0} µs", s * 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_the_language() {
        let seconds = |text: &str| parse_duration(text).map(|time| time.as_secs_f64());
        for (text, wanted) in [("10m", 600.0), ("1h30m", 5400.0), ("250ms", 0.25), ("3", 3.0), ("1.5s", 1.5)]
        {
            assert_eq!(seconds(text), Ok(wanted), "{text}");
        }
        for wrong in ["", "m", "10x", "-3s", "0s", "1e99s", "10 m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(123_456), "123,456");
        for (number, text) in
            [(0.0, "0"), (999.0, "999"), (1234.0, "1.23k"), (999_600.0, "1.00M"), (45_600.0, "45.6k")]
        {
            assert_eq!(short(number), text);
        }
        assert_eq!(counted(1, "packet"), "1 packet");
        assert_eq!(counted(2000, "packet"), "2,000 packets");
        assert_eq!(memory(5 << 20), "5.0 MiB");
        assert_eq!(duration(Duration::from_micros(850)), "850 µs");
    }

    #[test]
    fn counts() {
        assert_eq!(
            [parse_count("50"), parse_count("20k"), parse_count("1.5M")],
            [Ok(50.0), Ok(20e3), Ok(1.5e6)]
        );
        assert!(["", "k", "-1", "0", "inf", "5kk"].iter().all(|text| parse_count(text).is_err()));
    }

    #[test]
    fn kernels() {
        assert_eq!(parse_kernel("5.15"), Ok((5, 15)));
        assert!(parse_kernel("5").is_err());
    }
}

//! Programs written by hand.

use crate::engines::{agree, program};

/// Ethernet, IPv4, UDP: a reflection filter.
pub(crate) const REFLECTION: &str = "\
counters 2
@1 edge.weir:1:1 \"drop amplification when udp.srcport in {17, 19, 53, 123} and frame.len > 400\"
s0 \"amplification\"
b0:
    v0: cursor = start
    fits v0 + 14 ? b1 : b8
b1:
    v1: u16 = load v0 + 12
    v2: u12 = const 0x800
    v3: u1 = eq v1, v2
    branch v3 ? b2 : b8
b2:
    v4: cursor = skip v0 + 14
    fits v4 + 20 ? b3 : b8
b3:
    v5: u8 = load v4 + 0
    v6: u4 = const 15
    v7: u4 = and v5, v6
    v8: u2 = const 2
    v9: u6 = shl v7, v8
    v10: u8 = load v4 + 9
    v11: u5 = const 17
    v12: u1 = eq v10, v11
    branch v12 ? b4 : b8
b4:
    v13: cursor = advance v4 by v9 max 60
    fits v13 + 8 ? b5 : b8
b5:
    v14: u16 = load v13 + 0 @1
    switch v14 { 17 => b6, 19 => b6, 53 => b6, 123 => b6 } else b8 @1
b6:
    v15: u32 = frame_len @1
    v16: u9 = const 400 @1
    v17: u1 = gt v15, v16 @1
    branch v17 ? b7 : b8 @1
b7 cold:
    count 1 @1
    return drop by s0 @1
b8:
    count 0
    return pass
";

fn udp(source: u16, len: usize, ihl: u8) -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([8, 0, 0x40 | ihl]);
    frame.resize(14 + 9, 0);
    frame.push(17);
    frame.resize(14 + usize::from(ihl) * 4, 0);
    frame.extend(source.to_be_bytes());
    frame.resize(frame.len().max(len), 0);
    frame
}

#[test]
fn reflection() {
    let frames: Vec<Vec<u8>> =
        [(53, 1200, 5), (53, 60, 5), (54, 1200, 6), (123, 401, 6), (19, 401, 15), (19, 400, 15), (17, 0, 15)]
            .map(|(port, len, ihl)| udp(port, len, ihl))
            .to_vec();
    agree("reflection", &program(REFLECTION), &frames);
}

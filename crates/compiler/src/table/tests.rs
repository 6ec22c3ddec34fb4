use super::*;
use proptest::prelude::*;

/// Rows of prefixes, ranges, single values and everything, on words of these widths.
fn tables() -> impl Strategy<Value = Table> {
    let words = prop::sample::select(vec![
        vec![32],
        vec![16],
        vec![64],
        vec![1],
        vec![64, 64],
        vec![32, 32, 16, 16, 8],
        vec![48, 16, 1],
    ]);
    words.prop_flat_map(|words| {
        let range = |bits: u8| {
            let most = u64::MAX >> (64 - bits);
            let any = (any::<u64>(), 0..=bits, 0..6u8);
            any.prop_map(move |(value, length, kind)| {
                let value = value & most;
                let low_bits = most.checked_shr(u32::from(length)).unwrap_or(0);
                match kind {
                    0 => (0, most),
                    1 => (value, value),
                    2 => (value.min(value ^ low_bits), value.max(value ^ low_bits)),
                    // Many near each other.
                    3 => (value & 0xff, value & 0xff),
                    _ => (value & !low_bits, value | low_bits),
                }
            })
        };
        let ranges: Vec<_> = words.iter().map(|bits| range(*bits)).collect();
        let rows = prop::collection::vec((ranges, 1..1000u32), 0..120);
        rows.prop_map(move |rows| {
            let mut table = Table::new(words.clone());
            rows.iter().for_each(|(ranges, result)| table.push(ranges, *result));
            table
        })
    })
}

/// Keys at and beside the ends of rows, and others.
fn keys(table: &Table, random: &[u64]) -> Vec<Vec<u64>> {
    let mut keys = Vec::new();
    for (nth, value) in random.iter().enumerate() {
        let key = (0..table.words().len()).map(|word| {
            let of = value.rotate_left(word as u32 * 13);
            let number = (of % 251) as usize % table.len().max(1);
            let range = (!table.is_empty()).then(|| table.row(number).ranges[word]);
            let (low, high) = range.unwrap_or((0, 0));
            let value = match (of >> 8) % 6 {
                0 => low,
                1 => high,
                2 => low.wrapping_sub(1),
                3 => high.wrapping_add(1),
                4 => low + (high - low) / 2,
                _ => of.rotate_left(nth as u32),
            };
            value & table.most(word)
        });
        keys.push(key.collect());
    }
    keys
}

proptest! {
    #[test]
    fn an_image_finds_what_its_table_finds(table in tables(), random in prop::collection::vec(any::<u64>(), 200)) {
        // Rows that overlap too much have no image; the planner keeps them as a chain.
        if let Some(image) = Image::of(&table, 1 << 24, &[]) {
            let all = table.all_words();
            let spare = Image::of(&table, 1 << 24, &vec![all; image.trees.len() + 1]).unwrap();
            for key in keys(&table, &random) {
                prop_assert_eq!(image.find(&key), table.find(&key), "{:?}", key);
                prop_assert_eq!(spare.find(&key), table.find(&key), "{:?}", key);
                prop_assert_eq!(table.find_fast(&key), table.find(&key), "{:?}", key);
            }
        }
    }
}

/// The same rows, two of three of which count and go on.
fn mixed(table: &Table) -> Table {
    let mut mixed = Table::new(table.words().to_vec());
    for (nth, row) in table.rows().enumerate() {
        match nth % 3 {
            0 => mixed.push(row.ranges, row.result),
            _ => mixed.push_counting(row.ranges, row.result),
        }
    }
    mixed
}

/// What rows that count say of a key one after the other, up to the one that decides; and that one's result.
fn by_the_list(table: &Table, key: &[u64]) -> (Vec<u32>, u32) {
    let (mut counted, mut rows) = (Vec::new(), table.entries().filter(|entry| entry.row().holds(key)));
    let decides = rows.find_map(|entry| match entry {
        Entry::Decides(row) => Some(row.result),
        Entry::Counts(row) => {
            counted.push(row.result);
            None
        }
    });
    counted.sort_unstable();
    (counted, decides.unwrap_or(0))
}

proptest! {
    #[test]
    fn trees_count_what_the_list_counts(table in tables(), random in prop::collection::vec(any::<u64>(), 200)) {
        let mixed = mixed(&table);
        let rows: Vec<Row<'_>> = mixed.entries().map(Entry::row).collect();
        prop_assert_eq!(rows, table.rows().collect::<Vec<_>>());
        for key in keys(&table, &random) {
            let (first, mut counted) = (mixed.first(&key), Vec::new());
            if let Some(counting) = mixed.counting() {
                counting.count(&key, first, |result| counted.push(result));
            }
            counted.sort_unstable();
            prop_assert_eq!((counted, mixed.find_fast(&key)), by_the_list(&mixed, &key), "{:?}", key);
        }
    }
}

#[test]
fn rows_that_count_hide_nothing() {
    let mut table = Table::new(vec![8]);
    (0..40).for_each(|number| table.push_counting(&[(0, 255 - number)], u32::from(number as u8) + 1));
    // More than a list has hold each small key.
    assert!(!table.parts());
    let mut few = Table::new(vec![8]);
    (0..9).for_each(|number| few.push_counting(&[(0, 255)], number + 1));
    let mut counted = 0;
    few.counting().unwrap().count(&[7], None, |_| counted += 1);
    assert_eq!((few.parts(), counted), (true, 9));
}

#[test]
fn ten_thousand_prefixes_take_two_steps() {
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        seed >> 32
    };
    let mut table = Table::new(vec![32]);
    for _ in 0..10_000 {
        let (value, length) = (random(), 16 + random() % 17);
        let low_bits = (1 << (32 - length)) - 1;
        table.push(&[(value & !low_bits, value | low_bits)], 1 + random() as u32 % 7);
    }
    let image = Image::of(&table, 1 << 24, &[]).unwrap();
    assert!(image.levels <= 3 && image.bytes.len() < 2 << 20, "{} {}", image.levels, image.bytes.len());
    for _ in 0..100_000 {
        let key = [random()];
        assert_eq!(image.find(&key), table.find(&key));
    }
}

#[test]
fn other_results_and_more_rows() {
    let mut table = Table::new(vec![16]);
    (0..200).for_each(|number| table.push(&[(number, number)], 1));
    assert_eq!(table.find_fast(&[7]), 1);
    let doubled = table.map_results(|result| 2 * result);
    assert_eq!((doubled.find_fast(&[7]), table.find_fast(&[7])), (2, 1));
    // What was cut before knows nothing of a new row.
    table.push(&[(500, 600)], 3);
    assert_eq!((table.find_fast(&[555]), doubled.find_fast(&[555])), (3, 0));
}

#[test]
fn wide_rows_and_narrow_ones_get_trees_of_their_own() {
    let mut seed = 7u64;
    let mut random = |below: u64| {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 33) % below
    };
    let mut table = Table::new(vec![32, 32, 16, 16, 8]);
    for number in 0..4_000 {
        let mut prefix = |wide: bool| {
            let length = if wide { random(9) } else { 16 + random(17) };
            let (value, low_bits) = (random(1 << 31) << 1, (1u64 << (32 - length)) - 1);
            (value & !low_bits, value | low_bits)
        };
        let (source, target) = (prefix(number % 3 == 0), prefix(number % 5 == 0));
        let port = if number % 7 == 0 {
            (0, 65535)
        } else {
            let low = random(60_000);
            (low, low + random(1000))
        };
        let transport = if number % 2 == 0 { (6, 6) } else { (0, 255) };
        table.push(&[source, target, (0, 65535), port, transport], number + 1);
    }
    let image = Image::of(&table, 64 << 20, &[]).expect("parted");
    assert!(
        image.trees.len() <= MOST_TREES && image.bytes.len() < 4 << 20,
        "{} {}",
        image.trees.len(),
        image.bytes.len()
    );
    for row in 0..4_000 {
        let near = table.row(row).ranges.iter().map(|(low, high)| low + random(high - low + 1));
        let key: Vec<u64> = near.collect();
        assert_eq!((image.find(&key), table.find_fast(&key)), (table.find(&key), table.find(&key)));
    }
}

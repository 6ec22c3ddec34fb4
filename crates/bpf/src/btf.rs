//! BTF, the kernel's type format (Documentation/bpf/btf.rst): types, strings, and the function
//! and line records of `.BTF.ext`. Little endian.

use std::collections::HashMap;

/// The first two bytes of `.BTF` and `.BTF.ext`.
pub const MAGIC: u16 = 0xeb9f;

/// A type by its number; 0 is `void`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeId(pub u32);

impl TypeId {
    /// `void`.
    pub const VOID: TypeId = TypeId(0);
}

/// `BTF_KIND_*`.
#[derive(Clone, Copy)]
enum Kind {
    Int = 1,
    Ptr = 2,
    Array = 3,
    Struct = 4,
    Typedef = 8,
    Func = 12,
    FuncProto = 13,
    Var = 14,
    DataSec = 15,
}

/// How an integer is shown.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    Unsigned = 0,
    Signed = 1,
    Char = 2,
    Bool = 4,
}

/// Who sees a function or a variable.
#[allow(missing_docs)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Linkage {
    Static = 0,
    Global = 1,
}

/// A member of a structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// A C identifier.
    pub name: &'a str,
    /// Its type.
    pub ty: TypeId,
    /// Bytes from the structure's start.
    pub offset: u32,
}

/// A variable's place in a section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Variable {
    /// A type made by [`Btf::var`].
    pub var: TypeId,
    /// Bytes from the section's start.
    pub offset: u32,
    /// Bytes.
    pub size: u32,
}

/// Types in the making. Equal types are stored once.
#[derive(Debug, Clone)]
pub struct Btf {
    types: Vec<u8>,
    count: u32,
    known: HashMap<Vec<u8>, TypeId>,
    strings: Vec<u8>,
    offsets: HashMap<String, u32>,
}

impl Default for Btf {
    fn default() -> Btf {
        Btf::new()
    }
}

impl Btf {
    /// No types but `void`, no strings but the empty one.
    pub fn new() -> Btf {
        Btf {
            types: Vec::new(),
            count: 0,
            known: HashMap::new(),
            strings: vec![0],
            offsets: HashMap::from([(String::new(), 0)]),
        }
    }

    /// The offset of a string in the string section; it ends at its first zero byte, if any.
    pub fn string(&mut self, text: &str) -> u32 {
        let text = text.split('\0').next().unwrap_or_default();
        if let Some(&offset) = self.offsets.get(text) {
            return offset;
        }
        let offset = self.strings.len() as u32;
        self.strings.extend(text.as_bytes());
        self.strings.push(0);
        self.offsets.insert(text.to_string(), offset);
        offset
    }

    /// An integer of 1, 2, 4, 8 or 16 bytes.
    pub fn int(&mut self, name: &str, bytes: u32, encoding: Encoding) -> TypeId {
        let bits = ((encoding as u32) << 24) | (bytes * 8);
        self.add(Kind::Int, name, 0, bytes, &[bits])
    }

    /// A pointer.
    pub fn ptr(&mut self, to: TypeId) -> TypeId {
        self.add(Kind::Ptr, "", 0, to.0, &[])
    }

    /// `len` elements; `index` is any integer type.
    pub fn array(&mut self, of: TypeId, index: TypeId, len: u32) -> TypeId {
        self.add(Kind::Array, "", 0, 0, &[of.0, index.0, len])
    }

    /// A structure of `size` bytes; an empty name makes it anonymous.
    pub fn structure(&mut self, name: &str, size: u32, fields: &[Field<'_>]) -> TypeId {
        let mut rest = Vec::with_capacity(fields.len() * 3);
        for field in fields {
            rest.extend([self.string(field.name), field.ty.0, field.offset * 8]);
        }
        self.add(Kind::Struct, name, fields.len(), size, &rest)
    }

    /// Another name for a type.
    pub fn typedef(&mut self, name: &str, ty: TypeId) -> TypeId {
        self.add(Kind::Typedef, name, 0, ty.0, &[])
    }

    /// What a function takes and gives.
    pub fn func_proto(&mut self, result: TypeId, params: &[(&str, TypeId)]) -> TypeId {
        let mut rest = Vec::with_capacity(params.len() * 2);
        for (name, ty) in params {
            rest.extend([self.string(name), ty.0]);
        }
        self.add(Kind::FuncProto, "", params.len(), result.0, &rest)
    }

    /// A function.
    pub fn func(&mut self, name: &str, proto: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Func, name, linkage as usize, proto.0, &[])
    }

    /// A variable.
    pub fn var(&mut self, name: &str, ty: TypeId, linkage: Linkage) -> TypeId {
        self.add(Kind::Var, name, 0, ty.0, &[linkage as u32])
    }

    /// A section of `size` bytes with its variables in order.
    pub fn datasec(&mut self, name: &str, size: u32, variables: &[Variable]) -> TypeId {
        let rest: Vec<u32> = variables.iter().flat_map(|v| [v.var.0, v.offset, v.size]).collect();
        self.add(Kind::DataSec, name, variables.len(), size, &rest)
    }

    /// `struct btf_type` and what follows it.
    fn add(&mut self, kind: Kind, name: &str, vlen: usize, size: u32, rest: &[u32]) -> TypeId {
        let name = self.string(name);
        let info = ((kind as u32) << 24) | (vlen as u32 & 0xffff);
        let words = [name, info, size];
        let words = words.iter().chain(rest);
        let record: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        if let Some(&id) = self.known.get(&record) {
            return id;
        }
        self.count += 1;
        let id = TypeId(self.count);
        self.types.extend(&record);
        self.known.insert(record, id);
        id
    }

    /// The contents of `.BTF`.
    pub fn to_bytes(&self) -> Vec<u8> {
        const HEADER: u32 = 24;
        let (types, strings) = (self.types.len() as u32, self.strings.len() as u32);
        let mut bytes = preamble(HEADER);
        for word in [0, types, types, strings] {
            bytes.extend(word.to_le_bytes());
        }
        bytes.extend(&self.types);
        bytes.extend(&self.strings);
        bytes
    }
}

/// `magic, version 1, no flags, length of the header`.
fn preamble(header: u32) -> Vec<u8> {
    let mut bytes = MAGIC.to_le_bytes().to_vec();
    bytes.extend([1, 0]);
    bytes.extend(header.to_le_bytes());
    bytes
}

/// `struct bpf_func_info`: the function that starts at a byte of its section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FuncRecord {
    /// Bytes from the section's start.
    pub offset: u32,
    /// A type made by [`Btf::func`].
    pub func: TypeId,
}

/// `struct bpf_line_info`: the source of the code from a byte of its section on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LineRecord {
    /// Bytes from the section's start.
    pub offset: u32,
    /// The file's name in the strings of `.BTF`.
    pub file: u32,
    /// The line's text there.
    pub text: u32,
    /// From 1; 22 bits are kept.
    pub line: u32,
    /// From 1; 10 bits are kept.
    pub column: u16,
}

/// The records of one section of code.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SectionRecords {
    /// The section's name in the strings of `.BTF`.
    pub section: u32,
    /// In order of their offsets.
    pub funcs: Vec<FuncRecord>,
    /// In order of their offsets.
    pub lines: Vec<LineRecord>,
}

/// The contents of `.BTF.ext`.
pub fn ext_bytes(sections: &[SectionRecords]) -> Vec<u8> {
    // With the fields of CO-RE relocations, of which there are none.
    const HEADER: u32 = 32;
    let funcs = records(8, sections, |section| {
        let rows = section.funcs.iter();
        rows.map(|f| vec![f.offset, f.func.0]).collect()
    });
    let lines = records(16, sections, |section| {
        let rows = section.lines.iter();
        rows.map(|l| vec![l.offset, l.file, l.text, position(l)]).collect()
    });
    let (func_len, line_len) = (funcs.len() as u32, lines.len() as u32);
    let mut bytes = preamble(HEADER);
    for word in [0, func_len, func_len, line_len, func_len + line_len, 0] {
        bytes.extend(word.to_le_bytes());
    }
    bytes.extend(funcs);
    bytes.extend(lines);
    bytes
}

/// `BPF_LINE_INFO_LINE_NUM` and `…_COL`; what does not fit is cut to the largest number.
fn position(record: &LineRecord) -> u32 {
    (record.line.min(0x3f_ffff) << 10) | u32::from(record.column.min(0x3ff))
}

/// The size of a record, then for each section its name, its count and its records. Nothing at
/// all where there are no records: libbpf refuses a size without any (`btf_ext_setup_info`).
fn records(
    size: u32,
    sections: &[SectionRecords],
    rows: impl Fn(&SectionRecords) -> Vec<Vec<u32>>,
) -> Vec<u8> {
    let mut words = vec![size];
    for section in sections {
        let rows = rows(section);
        if !rows.is_empty() {
            words.extend([section.section, rows.len() as u32]);
            words.extend(rows.into_iter().flatten());
        }
    }
    if words.len() == 1 {
        return Vec::new();
    }
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_types_are_one() {
        let mut btf = Btf::new();
        let int = btf.int("unsigned int", 4, Encoding::Unsigned);
        assert_eq!(btf.int("unsigned int", 4, Encoding::Unsigned), int);
        assert_ne!(btf.int("int", 4, Encoding::Signed), int);
        let fields = [Field { name: "a", ty: int, offset: 0 }];
        let one = btf.structure("s", 4, &fields);
        assert_eq!(btf.structure("s", 4, &fields), one);
    }

    /// The bytes of `[1] INT 'int' size=4 bits_offset=0 nr_bits=32 encoding=SIGNED`, as clang 14
    /// writes them.
    #[test]
    fn an_int_in_bytes() {
        let mut btf = Btf::new();
        btf.int("int", 4, Encoding::Signed);
        let bytes = btf.to_bytes();
        assert_eq!(bytes[..8], [0x9f, 0xeb, 1, 0, 24, 0, 0, 0]);
        let body = [1, 0, 0, 0, 0, 0, 0, 1, 4, 0, 0, 0, 32, 0, 0, 1];
        assert_eq!(bytes[24..40], body);
        assert_eq!(&bytes[40..], b"\0int\0");
    }

    #[test]
    fn lines_are_packed() {
        let record = LineRecord { offset: 0, file: 0, text: 0, line: 7, column: 5000 };
        assert_eq!(position(&record), (7 << 10) | 1023);
    }
}

//! The sections: code, `.text` for subprograms, `.maps`, data, `license`, `.BTF`, `.BTF.ext`.

use object::write::{Object as Elf, Relocation, SectionId, Symbol, SymbolId, SymbolSection};
use object::{
    Architecture, BinaryFormat, Endianness, RelocationFlags, SectionKind, SymbolFlags, SymbolKind,
    SymbolScope,
};

use super::types::{self, Caller};
use super::{Contents, Object, ObjectError};
use crate::btf::{self, Btf, FuncRecord, LineRecord, SectionRecords};
use crate::insn::{Insn, Slot};
use crate::program::{LineInfo, Program};

/// Relocation of the two immediates of a 64-bit load (`R_BPF_64_64`).
const LD64: object::elf::RelocationType = object::elf::R_BPF_64_64;
/// Relocation of the immediate of a call (`R_BPF_64_32`).
const CALL: object::elf::RelocationType = object::elf::R_BPF_64_32;
const TEXT: &str = ".text";

pub(super) fn write(object: &Object, contents: Contents) -> Result<Vec<u8>, ObjectError> {
    let mut writer = Writer {
        elf: Elf::new(BinaryFormat::Elf, Architecture::Bpf, Endianness::Little),
        btf: Btf::new(),
        contents,
        maps: Vec::new(),
        code: Vec::new(),
    };
    writer.maps(object);
    for program in &object.programs {
        writer.program(program)?;
    }
    writer.data("license", SectionKind::Data, &c_string(&object.license), 1);
    writer.types();
    let bytes = writer.elf.write();
    bytes.map_err(|error| ObjectError::Elf(error.to_string()))
}

fn c_string(text: &str) -> Vec<u8> {
    text.bytes().chain([0]).collect()
}

struct Writer {
    elf: Elf<'static>,
    btf: Btf,
    contents: Contents,
    /// For each map the symbol that relocations name.
    maps: Vec<SymbolId>,
    /// Sections of code with their records.
    code: Vec<(String, SectionId, SectionRecords)>,
}

/// Where a function came to stand.
struct Placed {
    /// An index into [`Writer::code`].
    section: usize,
    /// Bytes from the section's start.
    offset: u64,
    /// Its instructions in the program.
    insns: std::ops::Range<usize>,
}

impl Writer {
    fn data(&mut self, name: &str, kind: SectionKind, data: &[u8], align: u64) -> SectionId {
        let name = name.as_bytes().to_vec();
        let section = self.elf.add_section(Vec::new(), name, kind);
        self.elf.append_section_data(section, data, align);
        section
    }

    fn symbol(
        &mut self,
        name: &str,
        kind: SymbolKind,
        scope: SymbolScope,
        section: SectionId,
        place: (u64, u64),
    ) -> SymbolId {
        self.elf.add_symbol(Symbol {
            name: name.as_bytes().to_vec(),
            value: place.0,
            size: place.1,
            kind,
            scope,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        })
    }

    fn maps(&mut self, object: &Object) {
        let (mut size, mut variables, mut places) = (0, Vec::new(), Vec::new());
        for def in object.maps.iter().filter(|def| !def.is_section()) {
            let definition = types::definition(&mut self.btf, def);
            let variable = types::map_variable(&mut self.btf, &def.name, &definition, size);
            variables.push(variable);
            places.push((u64::from(size), u64::from(definition.size)));
            size += definition.size;
        }
        let section = (size != 0).then(|| {
            self.btf.datasec(".maps", size, &variables);
            self.data(".maps", SectionKind::Data, &vec![0; size as usize], 8)
        });
        let mut places = places.into_iter();
        for def in &object.maps {
            let scope = SymbolScope::Dynamic;
            let symbol = match section {
                Some(section) if !def.is_section() => {
                    let place = places.next().unwrap_or_default();
                    self.symbol(&def.name, SymbolKind::Data, scope, section, place)
                }
                _ => self.data_section(def),
            };
            self.maps.push(symbol);
        }
    }

    fn data_section(&mut self, def: &crate::map::MapDef) -> SymbolId {
        types::data_section(&mut self.btf, def);
        let size = def.value.size();
        let section = if def.name.starts_with(".bss") || self.contents == Contents::Apart {
            let name = def.name.as_bytes().to_vec();
            let kind = SectionKind::UninitializedData;
            let section = self.elf.add_section(Vec::new(), name, kind);
            self.elf.append_section_bss(section, u64::from(size), 8);
            section
        } else {
            let mut data = def.initial.clone();
            data.resize(size as usize, 0);
            let kind = match def.name.starts_with(".rodata") {
                true => SectionKind::ReadOnlyData,
                false => SectionKind::Data,
            };
            self.data(&def.name, kind, &data, 8)
        };
        let name = types::variable_name(&def.name);
        let place = (0, u64::from(size));
        self.symbol(&name, SymbolKind::Data, SymbolScope::Dynamic, section, place)
    }

    /// The section of code with this name; all programs that ask for it share it.
    fn code_section(&mut self, name: &str) -> usize {
        if let Some(nth) = self.code.iter().position(|(known, ..)| known == name) {
            return nth;
        }
        let kind = SectionKind::Text;
        let id = self.elf.add_section(Vec::new(), name.as_bytes().to_vec(), kind);
        let records = SectionRecords { section: self.btf.string(name), ..SectionRecords::default() };
        self.code.push((name.to_string(), id, records));
        self.code.len() - 1
    }

    fn program(&mut self, program: &Program) -> Result<(), ObjectError> {
        let starts = program.slot_starts();
        let mut placed = Vec::with_capacity(program.functions.len());
        for nth in 0..program.functions.len() {
            placed.push(self.place(program, &starts, nth));
        }
        for (nth, place) in placed.iter().enumerate() {
            self.function(program, nth, place);
            self.relocate(program, &starts, &placed, place)?;
        }
        Ok(())
    }

    /// Puts a function's code and symbol into its section.
    fn place(&mut self, program: &Program, starts: &[u32], nth: usize) -> Placed {
        let function = &program.functions[nth];
        let next = program.functions.get(nth + 1);
        let insns = function.start..next.map_or(program.insns.len(), |f| f.start);
        let (name, scope) = match nth {
            0 => (program.section.as_str(), SymbolScope::Dynamic),
            _ if function.global => (TEXT, SymbolScope::Dynamic),
            _ => (TEXT, SymbolScope::Compilation),
        };
        let section = self.code_section(name);
        let id = self.code[section].1;
        let slots = (starts[insns.end] - starts[insns.start]) as usize;
        // Filled in by `relocate`, when all functions have their places.
        let offset = self.elf.append_section_data(id, &vec![0; slots * 8], 8);
        let size = slots as u64 * 8;
        self.symbol(&function.name, SymbolKind::Text, scope, id, (offset, size));
        Placed { section, offset, insns }
    }

    /// Writes the function's record and those of its lines.
    fn function(&mut self, program: &Program, nth: usize, placed: &Placed) {
        let function = &program.functions[nth];
        let caller = match nth {
            0 => Caller::Kernel,
            _ if function.global => Caller::Program(context(&program.section), function.args),
            _ => Caller::Object(function.args),
        };
        let func = types::function(&mut self.btf, &function.name, caller);
        let offset = placed.offset as u32;
        let lines = line_records(&mut self.btf, program, placed);
        let records = &mut self.code[placed.section].2;
        records.funcs.push(FuncRecord { offset, func });
        records.lines.extend(lines);
    }

    /// Encodes the instructions; what a loader has to fill in becomes a relocation.
    fn relocate(
        &mut self,
        program: &Program,
        starts: &[u32],
        all: &[Placed],
        placed: &Placed,
    ) -> Result<(), ObjectError> {
        let section = self.code[placed.section].1;
        let mut code = Vec::with_capacity(placed.insns.len() * 8);
        for nth in placed.insns.clone() {
            let insn = program.insns[nth];
            let offset = placed.offset + code.len() as u64;
            let mut slots: Vec<Slot> = insn.encode().collect();
            let relocation = match insn {
                Insn::LdMap { map, .. } | Insn::LdMapValue { map, .. } => {
                    // The loader writes what kind of load this is, and finds the offset in the
                    // first immediate, where clang leaves it.
                    slots[0].src = 0;
                    slots[0].imm = slots[1].imm;
                    slots[1].imm = 0;
                    Some((self.maps[map.0 as usize], LD64))
                }
                Insn::CallLocal { off } | Insn::LdFunc { off, .. } => {
                    let slot = i64::from(starts[nth]) + 1 + i64::from(off);
                    let to = callee(starts, all, slot).ok_or(ObjectError::NoFunction {
                        program: program.name.clone(),
                        insn: nth,
                        text: insn.to_string(),
                    })?;
                    let text = self.code[all[to].section].1;
                    let symbol = self.elf.section_symbol(text);
                    let call = matches!(insn, Insn::CallLocal { .. });
                    slots[0].imm = match call {
                        true => (all[to].offset / 8) as i32 - 1,
                        false => all[to].offset as i32,
                    };
                    Some((symbol, if call { CALL } else { LD64 }))
                }
                _ => None,
            };
            code.extend(slots.into_iter().flat_map(Slot::to_bytes));
            if let Some((symbol, r_type)) = relocation {
                let relocation =
                    Relocation { offset, symbol, addend: 0, flags: RelocationFlags::Elf { r_type } };
                let added = self.elf.add_relocation(section, relocation);
                added.map_err(|error| ObjectError::Elf(error.to_string()))?;
            }
        }
        let from = placed.offset as usize;
        let data = self.elf.section_mut(section).data_mut();
        data[from..from + code.len()].copy_from_slice(&code);
        Ok(())
    }

    /// `.BTF` and `.BTF.ext`.
    fn types(&mut self) {
        let records: Vec<SectionRecords> = self.code.iter().map(|(_, _, records)| records.clone()).collect();
        let types = self.btf.to_bytes();
        self.data(".BTF", SectionKind::Debug, &types, 8);
        let ext = btf::ext_bytes(&records);
        self.data(".BTF.ext", SectionKind::Debug, &ext, 8);
    }
}

/// The structure that programs of a section get.
fn context(section: &str) -> &'static str {
    if section.starts_with("xdp") { "xdp_md" } else { "__sk_buff" }
}

/// The subprogram that starts at a slot.
fn callee(starts: &[u32], all: &[Placed], slot: i64) -> Option<usize> {
    let mut placed = all.iter().enumerate().skip(1);
    placed.find(|(_, p)| i64::from(starts[p.insns.start]) == slot).map(|(nth, _)| nth)
}

/// One record where the line changes. The kernel wants one at the start of each function as soon
/// as there is any (`check_btf_line`), so a function that begins without takes the next one.
fn line_records(btf: &mut Btf, program: &Program, placed: &Placed) -> Vec<LineRecord> {
    let marks = &program.marks;
    let first = marks.partition_point(|mark| mark.insn <= placed.insns.start);
    let inside = marks[first..].iter().take_while(|mark| mark.insn < placed.insns.end);
    let opening = program
        .line_of(placed.insns.start)
        .or_else(|| marks.get(first).and_then(|m| program.lines.get(m.line.0 as usize)));
    let Some(opening) = opening else {
        return Vec::new();
    };
    let mut offset = placed.offset as u32;
    let mut at = placed.insns.start;
    let mut records = vec![line_record(btf, opening, offset)];
    for mark in inside {
        let passed = &program.insns[at..mark.insn];
        offset += passed.iter().map(|insn| insn.slots() as u32 * 8).sum::<u32>();
        at = mark.insn;
        if let Some(line) = program.lines.get(mark.line.0 as usize) {
            records.push(line_record(btf, line, offset));
        }
    }
    records
}

fn line_record(btf: &mut Btf, line: &LineInfo, offset: u32) -> LineRecord {
    LineRecord {
        offset,
        file: btf.string(&line.file),
        text: btf.string(&line.text),
        line: line.line,
        column: line.column,
    }
}

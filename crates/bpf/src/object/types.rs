//! Keys, values and map definitions as BTF types, in the forms of libbpf's `bpf_helpers.h`.

use crate::btf::{Btf, Encoding, Field, Linkage, TypeId, Variable};
use crate::map::{MapDef, MapKind, MapType, Pinning};

/// Bytes of a member of a definition: a pointer.
const POINTER: u32 = 8;

/// The BTF type of a key or value; `Empty` is `void`.
pub(super) fn shape(btf: &mut Btf, ty: &MapType) -> TypeId {
    match ty {
        MapType::Empty => TypeId::VOID,
        MapType::Int(bytes) => int(btf, *bytes),
        MapType::Array(of, len) => {
            let of = shape(btf, of);
            let index = int(btf, 4);
            btf.array(of, index, *len)
        }
        MapType::Struct(structure) => {
            let members = structure.members.iter();
            let types: Vec<TypeId> = members.map(|m| shape(btf, &m.ty)).collect();
            let fields: Vec<Field<'_>> = structure
                .members
                .iter()
                .zip(types)
                .map(|(member, ty)| Field { name: &member.name, ty, offset: member.offset })
                .collect();
            btf.structure(&structure.name, structure.size, &fields)
        }
    }
}

fn int(btf: &mut Btf, bytes: u8) -> TypeId {
    let name = match bytes {
        1 => "unsigned char",
        2 => "unsigned short",
        4 => "unsigned int",
        _ => "unsigned long long",
    };
    btf.int(name, u32::from(bytes), Encoding::Unsigned)
}

/// A definition in `.maps`.
pub(super) struct Definition {
    /// The anonymous structure.
    ty: TypeId,
    /// Bytes of the variable.
    pub(super) size: u32,
}

/// `struct { __uint(type, …); __type(key, …); … }`.
pub(super) fn definition(btf: &mut Btf, def: &MapDef) -> Definition {
    let mut members: Vec<(&str, TypeId)> = vec![("type", number(btf, def.kind.number()))];
    members.extend(key_and_value(btf, def));
    // The kernel, or libbpf, knows the number of CPUs better: 0 means all of them.
    if def.max_entries != 0 {
        members.push(("max_entries", number(btf, def.max_entries)));
    }
    if def.flags != 0 {
        members.push(("map_flags", number(btf, def.flags)));
    }
    if def.pinning == Pinning::ByName {
        members.push(("pinning", number(btf, 1)));
    }
    if let Some(inner) = &def.inner {
        members.push(("values", values(btf, inner)));
    }
    let fields: Vec<Field<'_>> = members
        .iter()
        .enumerate()
        .map(|(nth, (name, ty))| Field { name, ty: *ty, offset: nth as u32 * POINTER })
        .collect();
    // `values` is an array of no elements at the end.
    let pointers = fields.len() - usize::from(def.inner.is_some());
    let size = pointers as u32 * POINTER;
    let ty = btf.structure("", size, &fields);
    Definition { ty, size }
}

fn key_and_value(btf: &mut Btf, def: &MapDef) -> Vec<(&'static str, TypeId)> {
    // The kernel wants a structure for the key of an LPM trie (`trie_check_btf`).
    let key_fits = def.kind != MapKind::LpmTrie || matches!(def.key, MapType::Struct(_));
    if def.kind.typed() && key_fits {
        let key = shape(btf, &def.key);
        let value = shape(btf, &def.value);
        return vec![("key", btf.ptr(key)), ("value", btf.ptr(value))];
    }
    let mut members = Vec::new();
    if def.key.size() != 0 {
        members.push(("key_size", number(btf, def.key.size())));
    }
    if def.value.size() != 0 && !def.kind.of_maps() {
        members.push(("value_size", number(btf, def.value.size())));
    }
    members
}

/// `__uint`: a pointer to an array of so many.
fn number(btf: &mut Btf, number: u32) -> TypeId {
    let element = btf.int("int", 4, Encoding::Signed);
    let index = int(btf, 4);
    let array = btf.array(element, index, number);
    btf.ptr(array)
}

/// `__array(values, …)`: an array of no pointers to the inner definition.
fn values(btf: &mut Btf, inner: &MapDef) -> TypeId {
    let inner = definition(btf, inner);
    let pointer = btf.ptr(inner.ty);
    let index = int(btf, 4);
    btf.array(pointer, index, 0)
}

/// The variable of a definition at its offset in `.maps`.
pub(super) fn map_variable(btf: &mut Btf, name: &str, def: &Definition, offset: u32) -> Variable {
    Variable { var: btf.var(name, def.ty, Linkage::Global), offset, size: def.size }
}

/// The one variable of a data section, and the section.
pub(super) fn data_section(btf: &mut Btf, def: &MapDef) {
    let ty = shape(btf, &def.value);
    let var = btf.var(&variable_name(&def.name), ty, Linkage::Global);
    let size = def.value.size();
    let offset = 0;
    btf.datasec(&def.name, size, &[Variable { var, offset, size }]);
}

/// `.bss.state` is no C identifier, `bss_state` is.
pub(super) fn variable_name(section: &str) -> String {
    section.trim_start_matches('.').replace('.', "_")
}

/// Who calls a function.
pub(super) enum Caller<'a> {
    /// The kernel, with a context.
    Kernel,
    /// The program, with its context, the structure of this name, and numbers: so many arguments in all.
    Program(&'a str, u8),
    /// Functions of the object, with so many numbers.
    Object(u8),
}

fn numbers(btf: &mut Btf, count: u8) -> Vec<(&'static str, TypeId)> {
    let number = int(btf, 8);
    ["a1", "a2", "a3", "a4", "a5"].into_iter().take(count.into()).map(|name| (name, number)).collect()
}

/// The type of a function.
pub(super) fn function(btf: &mut Btf, name: &str, caller: Caller<'_>) -> TypeId {
    let result = btf.int("int", 4, Encoding::Signed);
    let (linkage, proto) = match caller {
        Caller::Kernel => {
            let context = btf.ptr(TypeId::VOID);
            (Linkage::Global, btf.func_proto(result, &[("ctx", context)]))
        }
        Caller::Program(context, args) => {
            // The verifier knows it by its name (`btf_is_prog_ctx_type`, kernel/bpf/btf.c).
            let context = btf.structure(context, 0, &[]);
            let context = btf.ptr(context);
            let mut params = numbers(btf, args);
            params.iter_mut().take(1).for_each(|first| *first = ("ctx", context));
            (Linkage::Global, btf.func_proto(result, &params))
        }
        Caller::Object(args) => {
            let params = numbers(btf, args);
            (Linkage::Static, btf.func_proto(result, &params))
        }
    };
    btf.func(name, proto, linkage)
}

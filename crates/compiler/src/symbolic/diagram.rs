//! Interval decision diagrams: functions of many values to a few results.
//!
//! A branch asks for the interval in which a variable's value lies. Variables are asked in one
//! order on every path, equal branches are one, and a branch whose ways all lead to the same place
//! is that place: so two functions are equal exactly if they are the same [`Node`].

use crate::hash::FastMap;
use std::rc::Rc;

/// A function: a result, or a branch in [`Diagrams`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Node(u32);

const LEAF: u32 = 1 << 31;

impl Node {
    /// Never.
    pub const FALSE: Node = Node::leaf(0);
    /// Always.
    pub const TRUE: Node = Node::leaf(1);

    /// The function that is `result` everywhere.
    pub const fn leaf(result: u32) -> Node {
        Node(LEAF | result)
    }

    /// The result, if it is the same everywhere.
    pub fn result(self) -> Option<u32> {
        (self.0 & LEAF != 0).then_some(self.0 & !LEAF)
    }
}

/// One way on from a branch: values up to `to` that are above those of the way before it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Way {
    /// The last value.
    pub to: u128,
    /// Where they lead.
    pub node: Node,
}

/// A question for a variable. The last way ends with the variable's largest value.
#[derive(PartialEq, Eq, Hash, Debug)]
pub struct Branch {
    /// Which; smaller ones are asked first.
    pub variable: u32,
    /// At least two, and no two neighbours lead to the same place.
    pub ways: Vec<Way>,
}

/// The diagrams would become too large.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooLarge;

/// A function, if it is not too large.
pub(super) type Made = Result<Node, TooLarge>;

/// How two functions make one. The tags keep apart what was made before.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Tag {
    /// The second where the first holds, else 0. The first is a condition.
    And,
    /// Either condition.
    Or,
    /// The first condition without the second.
    Without,
    /// Of lists of statements, see [`super::lists`].
    Then,
    /// Where two lists differ, see [`super::lists`].
    Differ,
}

/// What makes one function of two: what is known without looking further.
pub trait Rule {
    /// For what was made before.
    const TAG: Tag;
    /// The outcome that `a` alone decides.
    fn left(&self, a: Node) -> Option<Node>;
    /// The outcome that `b` alone decides, given any `a`.
    fn right(&self, b: Node) -> Option<Node>;
    /// The outcome of the two; there must be one for two leaves.
    fn both(&mut self, a: Node, b: Node) -> Option<Node>;
}

/// All branches, each once.
pub struct Diagrams {
    branches: Vec<Rc<Branch>>,
    known: FastMap<Rc<Branch>, Node>,
    made: FastMap<(Tag, Node, Node), Node>,
    room: usize,
}

impl Diagrams {
    /// Room for so many ways of branches.
    pub fn new(room: usize) -> Self {
        Self { branches: Vec::new(), known: FastMap::default(), made: FastMap::default(), room }
    }

    /// The branch of a node that is no leaf.
    pub fn branch(&self, node: Node) -> Option<&Rc<Branch>> {
        if node.0 & LEAF == 0 { self.branches.get(node.0 as usize) } else { None }
    }

    /// How many ways of branches there is room for.
    pub fn room(&self) -> usize {
        self.room
    }

    /// Room for so many more.
    pub fn make_room(&mut self, room: usize) {
        self.room = room;
    }

    /// A branch, or what it comes to.
    pub fn node(&mut self, variable: u32, ways: impl IntoIterator<Item = Way>) -> Made {
        let mut joined: Vec<Way> = Vec::new();
        for way in ways {
            match joined.last_mut() {
                Some(last) if last.node == way.node => last.to = way.to,
                _ => joined.push(way),
            }
        }
        if let [only] = joined.as_slice() {
            return Ok(only.node);
        }
        let branch = Rc::new(Branch { variable, ways: joined });
        if let Some(&node) = self.known.get(&branch) {
            return Ok(node);
        }
        self.room = self.room.checked_sub(branch.ways.len()).ok_or(TooLarge)?;
        let node = Node(self.branches.len() as u32);
        self.branches.push(branch.clone());
        self.known.insert(branch, node);
        Ok(node)
    }

    /// Makes one function of two.
    pub fn combine<R: Rule>(&mut self, rule: &mut R, a: Node, b: Node) -> Made {
        if let Some(node) = rule.left(a).or_else(|| rule.right(b)).or_else(|| rule.both(a, b)) {
            return Ok(node);
        }
        let key = (R::TAG, a, b);
        if let Some(&node) = self.made.get(&key) {
            return Ok(node);
        }
        let node = match (self.branch(a).cloned(), self.branch(b).cloned()) {
            (Some(x), Some(y)) if x.variable == y.variable => self.merge(rule, &x, &y)?,
            (Some(x), y) if y.as_ref().is_none_or(|y| x.variable < y.variable) => {
                self.each(x.variable, &x.ways, |all, way| all.combine(rule, way, b))?
            }
            (_, Some(y)) => self.each(y.variable, &y.ways, |all, way| all.combine(rule, a, way))?,
            _ => unreachable!("a rule decides for leaves"),
        };
        self.room = self.room.checked_sub(1).ok_or(TooLarge)?;
        self.made.insert(key, node);
        Ok(node)
    }

    fn each(&mut self, variable: u32, ways: &[Way], mut lead: impl FnMut(&mut Self, Node) -> Made) -> Made {
        let mut made = Vec::with_capacity(ways.len());
        for way in ways {
            made.push(Way { to: way.to, node: lead(self, way.node)? });
        }
        self.node(variable, made)
    }

    /// Two branches of one variable. Where one side decides alone, the other's ways are passed over
    /// at once: a small condition costs little against a large one.
    fn merge<R: Rule>(&mut self, rule: &mut R, a: &Branch, b: &Branch) -> Made {
        let (mut x, mut y) = (&a.ways[..], &b.ways[..]);
        let mut ways = Vec::new();
        while let (Some(first), Some(second)) = (x.first(), y.first()) {
            let (to, node) = match (rule.left(first.node), rule.right(second.node)) {
                (Some(node), _) => (first.to, node),
                (None, Some(node)) => (second.to, node),
                (None, None) => (first.to.min(second.to), self.combine(rule, first.node, second.node)?),
            };
            ways.push(Way { to, node });
            x = &x[x.partition_point(|way| way.to <= to)..];
            y = &y[y.partition_point(|way| way.to <= to)..];
        }
        self.node(a.variable, ways)
    }

    /// Both conditions; or a function where a condition holds, and 0 elsewhere.
    pub fn and(&mut self, a: Node, b: Node) -> Made {
        self.combine(&mut And, a, b)
    }

    /// Either condition.
    pub fn or(&mut self, a: Node, b: Node) -> Made {
        self.combine(&mut Or, a, b)
    }

    /// The first condition and not the second.
    pub fn without(&mut self, a: Node, b: Node) -> Made {
        self.combine(&mut Without, a, b)
    }

    /// The opposite of a condition.
    pub fn not(&mut self, a: Node) -> Made {
        self.without(Node::TRUE, a)
    }

    /// Any of many conditions, joined in pairs so that none is gone through often.
    pub fn any(&mut self, mut nodes: Vec<Node>) -> Made {
        while nodes.len() > 1 {
            let pairs = nodes.chunks(2);
            nodes = pairs
                .map(|pair| if let [a, b] = *pair { self.or(a, b) } else { Ok(pair[0]) })
                .collect::<Result<_, _>>()?;
        }
        Ok(nodes.pop().unwrap_or(Node::FALSE))
    }
}

struct And;

impl Rule for And {
    const TAG: Tag = Tag::And;
    fn left(&self, a: Node) -> Option<Node> {
        (a == Node::FALSE).then_some(a)
    }
    fn right(&self, b: Node) -> Option<Node> {
        (b == Node::FALSE).then_some(b)
    }
    fn both(&mut self, a: Node, b: Node) -> Option<Node> {
        (a == Node::TRUE || a == b).then_some(b)
    }
}

struct Or;

impl Rule for Or {
    const TAG: Tag = Tag::Or;
    fn left(&self, a: Node) -> Option<Node> {
        (a == Node::TRUE).then_some(a)
    }
    fn right(&self, b: Node) -> Option<Node> {
        (b == Node::TRUE).then_some(b)
    }
    fn both(&mut self, a: Node, b: Node) -> Option<Node> {
        match (a, b) {
            (Node::FALSE, other) | (other, Node::FALSE) => Some(other),
            _ => (a == b).then_some(a),
        }
    }
}

struct Without;

impl Rule for Without {
    const TAG: Tag = Tag::Without;
    fn left(&self, a: Node) -> Option<Node> {
        (a == Node::FALSE).then_some(a)
    }
    fn right(&self, b: Node) -> Option<Node> {
        (b == Node::TRUE).then_some(Node::FALSE)
    }
    fn both(&mut self, a: Node, b: Node) -> Option<Node> {
        match b {
            Node::FALSE => Some(a),
            _ => (a == b).then_some(Node::FALSE),
        }
    }
}

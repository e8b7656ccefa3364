"""As much of Lua as scripts for Redis need; what it does not know it refuses, as a script with a mistake is refused.

    statements    local a, b = x, y | a = x | if .. then .. elseif .. else .. end | for i = a, b, c do .. end
                  | return x | a call
    expressions   or and == ~= < > <= >= .. + - * not # - {a, b, k = v} a.b a[b] f(x) "text" 1 nil true false
    functions     redis.call, redis.error_reply, redis.status_reply, tonumber, tostring, unpack

A table is a dict; its list part has the keys 1, 2, ... nil is None.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

Table = dict[Any, Any]
Scope = dict[str, Any]
Expression = Callable[[Scope], Any]
Statement = Callable[[Scope], "Returned | None"]

TOKEN = re.compile(
    r"\s+|--[^\n]*|(?P<number>\d+(?:\.\d+)?)|(?P<text>'[^'\\\n]*'|\"[^\"\\\n]*\")|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<sign>\.\.|==|~=|<=|>=|[-+*<>=(){}\[\],.#;])"
)
WORDS = frozenset(("local", "if", "then", "elseif", "else", "end", "for", "do", "return", "and", "or", "not"))
LITERALS = {"nil": None, "true": True, "false": False}
MOST_TURNS = 100_000


class LuaError(Exception):
    """The script cannot be read, or has raised an error."""


class Returned:
    """The end of a script, with its value."""

    def __init__(self, value: Any) -> None:
        self.value = value


def run(source: str, names: Scope) -> Any:
    """Run a script with these global names; its value, None when it returns none. Raises LuaError."""
    ended = _block(_Parser(source).block(last=True), dict(names))
    return ended.value if ended is not None else None


def listed(values: Sequence[Any]) -> Table:
    """A table of a list."""
    return dict(enumerate(values, 1))


def length(value: Any) -> int:
    """Lua's # of a string or of a table's list part."""
    if isinstance(value, str):
        return len(value)
    if not isinstance(value, dict):
        raise LuaError("attempt to get length of what has none")
    n = 0
    while value.get(n + 1) is not None:
        n += 1
    return n


def unpack(table: Table, first: Any = 1) -> list[Any]:
    """The list part from `first` on; a call with it as its last argument gets them all."""
    return [table[i] for i in range(int(first), length(table) + 1)]


def true(value: Any) -> bool:
    """Everything but nil and false is true, 0 and the empty string included."""
    return value is not None and value is not False


def _block(statements: Sequence[Statement], scope: Scope) -> Returned | None:
    for statement in statements:
        if (ended := statement(scope)) is not None:
            return ended
    return None


class _Parser:
    """Recursive descent; every piece of the script becomes a function of the scope."""

    def __init__(self, source: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at = 0
        while at < len(source):
            found = TOKEN.match(source, at)
            if found is None:
                raise LuaError(f"unexpected symbol near {source[at : at + 10]!r}")
            at = found.end()
            if found.lastgroup:
                self._tokens.append((found.lastgroup, found.group()))
        self._at = 0

    # Tokens.

    def _peek(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("end", "<eof>")

    def _is(self, *texts: str) -> bool:
        kind, text = self._peek()
        return kind != "text" and text in texts

    def _take(self, *texts: str) -> str | None:
        if not self._is(*texts):
            return None
        self._at += 1
        return self._tokens[self._at - 1][1]

    def _need(self, text: str) -> None:
        if self._take(text) is None:
            raise LuaError(f"'{text}' expected near '{self._peek()[1]}'")

    def _name(self) -> str:
        kind, text = self._peek()
        if kind != "name" or text in WORDS:
            raise LuaError(f"a name expected near '{text}'")
        self._at += 1
        return text

    # Statements.

    def block(self, *, last: bool = False) -> list[Statement]:
        """Statements up to a word that ends a block, which is left; `last`: up to the end of the script."""
        statements: list[Statement] = []
        while not self._is("end", "else", "elseif", "<eof>"):
            statements.append(self._statement())
            self._take(";")
        if last and not self._is("<eof>"):
            raise LuaError(f"'<eof>' expected near '{self._peek()[1]}'")
        return statements

    def _statement(self) -> Statement:
        if self._take("local"):
            names = [self._name()]
            while self._take(","):
                names.append(self._name())
            return _assign(names, self._list() if self._take("=") else [])
        if self._take("if"):
            return self._if()
        if self._take("for"):
            return self._for()
        if self._take("return"):
            empty = self._is("end", "else", "elseif", "<eof>", ";")
            value = _nothing if empty else self._expression()
            return lambda scope: Returned(value(scope))
        start = self._at
        kind, _ = self._peek()
        if kind == "name" and self._at + 1 < len(self._tokens) and self._tokens[self._at + 1][1] == "=":
            name = self._name()
            self._need("=")
            return _assign([name], [self._expression()])
        call = self._expression()
        if self._tokens[self._at - 1][1] != ")" or start == self._at:
            raise LuaError("a statement expected")
        return lambda scope: _ignored(call(scope))

    def _if(self) -> Statement:
        branches: list[tuple[Expression, list[Statement]]] = []
        condition = self._expression()
        self._need("then")
        branches.append((condition, self.block()))
        while self._take("elseif"):
            condition = self._expression()
            self._need("then")
            branches.append((condition, self.block()))
        otherwise = self.block() if self._take("else") else []
        self._need("end")

        def chosen(scope: Scope) -> Returned | None:
            for asked, statements in branches:
                if true(asked(scope)):
                    return _block(statements, scope)
            return _block(otherwise, scope)

        return chosen

    def _for(self) -> Statement:
        name = self._name()
        self._need("=")
        bounds = self._list()
        self._need("do")
        statements = self.block()
        self._need("end")

        def turned(scope: Scope) -> Returned | None:
            first, last, *step = [int(bound(scope)) for bound in bounds]
            stride = step[0] if step else 1
            for n in range(first, last + (1 if stride > 0 else -1), stride)[:MOST_TURNS]:
                scope[name] = n
                if (ended := _block(statements, scope)) is not None:
                    return ended
            return None

        return turned

    # Expressions, the loosest first.

    def _list(self) -> list[Expression]:
        found = [self._expression()]
        while self._take(","):
            found.append(self._expression())
        return found

    def _expression(self) -> Expression:
        left = self._conjunction()
        while self._take("or"):
            left = _either(left, self._conjunction())
        return left

    def _conjunction(self) -> Expression:
        left = self._comparison()
        while self._take("and"):
            left = _both(left, self._comparison())
        return left

    def _comparison(self) -> Expression:
        left = self._joined()
        while sign := self._take("==", "~=", "<", ">", "<=", ">="):
            left = _binary(sign, left, self._joined())
        return left

    def _joined(self) -> Expression:
        left = self._sum()
        if self._take(".."):
            return _binary("..", left, self._joined())
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while sign := self._take("+", "-"):
            left = _binary(sign, left, self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._take("*"):
            left = _binary("*", left, self._unary())
        return left

    def _unary(self) -> Expression:
        sign = self._take("not", "#", "-")
        if sign is None:
            return self._suffixed()
        inner = self._unary()
        if sign == "not":
            return lambda scope: not true(inner(scope))
        return (lambda scope: length(inner(scope))) if sign == "#" else (lambda scope: -_number(inner(scope)))

    def _suffixed(self) -> Expression:
        value = self._primary()
        while sign := self._take(".", "[", "("):
            if sign == ".":
                value = _member(value, _constant(self._name()))
            elif sign == "[":
                value = _member(value, self._expression())
                self._need("]")
            else:
                arguments = [] if self._is(")") else self._list()
                self._need(")")
                value = _call(value, arguments)
        return value

    def _primary(self) -> Expression:
        kind, text = self._peek()
        if self._take("("):
            inner = self._expression()
            self._need(")")
            return inner
        if self._take("{"):
            return self._table()
        if kind == "name" and text in LITERALS:
            self._at += 1
            return _constant(LITERALS[text])
        if kind == "name":
            return _named(self._name())
        if kind not in ("number", "text"):
            raise LuaError(f"unexpected symbol near '{text}'")
        self._at += 1
        return _constant(text[1:-1] if kind == "text" else float(text) if "." in text else int(text))

    def _table(self) -> Expression:
        items: list[tuple[Expression | None, Expression]] = []
        while not self._is("}"):
            named = self._tokens[self._at + 1][1] == "=" if self._at + 1 < len(self._tokens) else False
            key = None
            if named:
                key = _constant(self._name())
                self._need("=")
            items.append((key, self._expression()))
            if self._take(",", ";") is None:
                break
        self._need("}")

        def made(scope: Scope) -> Table:
            table = listed([value(scope) for key, value in items if key is None])
            return table | {key(scope): value(scope) for key, value in items if key is not None}

        return made


def _nothing(scope: Scope) -> None:
    return None


def _ignored(value: Any) -> None:
    return None


def _constant(value: Any) -> Expression:
    return lambda scope: value


def _named(name: str) -> Expression:
    def looked_up(scope: Scope) -> Any:
        if name not in scope:
            raise LuaError(f"Script attempted to access nonexistent global variable '{name}'")
        return scope[name]

    return looked_up


def _assign(names: Sequence[str], values: Sequence[Expression]) -> Statement:
    def assigned(scope: Scope) -> None:
        found = [value(scope) for value in values]
        scope.update({name: found[n] if n < len(found) else None for n, name in enumerate(names)})

    return assigned


def _either(left: Expression, right: Expression) -> Expression:
    return lambda scope: value if true(value := left(scope)) else right(scope)


def _both(left: Expression, right: Expression) -> Expression:
    return lambda scope: right(scope) if true(value := left(scope)) else value


def _member(value: Expression, key: Expression) -> Expression:
    def got(scope: Scope) -> Any:
        table = value(scope)
        if not isinstance(table, dict):
            raise LuaError("attempt to index what is no table")
        return table.get(key(scope))

    return got


def _call(function: Expression, arguments: Sequence[Expression]) -> Expression:
    def called(scope: Scope) -> Any:
        values: list[Any] = []
        for n, argument in enumerate(arguments):
            value = argument(scope)
            last = n == len(arguments) - 1
            values += (value if last else value[:1]) if isinstance(value, list) else [value]
        made = function(scope)
        if not callable(made):
            raise LuaError("attempt to call what is no function")
        return made(*values)

    return called


def _number(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        raise LuaError("attempt to perform arithmetic on what is no number")
    try:
        return value if isinstance(value, int | float) else int(value)
    except (TypeError, ValueError):
        raise LuaError("attempt to perform arithmetic on what is no number") from None


def _binary(sign: str, left: Expression, right: Expression) -> Expression:
    def done(scope: Scope) -> Any:
        a, b = left(scope), right(scope)
        if sign in ("==", "~="):
            return (type(a) is type(b) and a == b) == (sign == "==")
        if sign == "..":
            return f"{_text(a)}{_text(b)}"
        if sign in ("+", "-", "*"):
            x, y = _number(a), _number(b)
            return x + y if sign == "+" else x - y if sign == "-" else x * y
        if type(a) is not type(b) or isinstance(a, bool | dict) or a is None:
            raise LuaError("attempt to compare what cannot be compared")
        return {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[sign]

    return done


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise LuaError("attempt to concatenate what is no text")
    return str(value)

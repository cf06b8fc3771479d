"""PyTorch's files put together by hand from the formats' descriptions: no PyTorch, nothing of ours."""
import pickle
import struct
import zipfile


class Global:
    """A name in a module, which a pickle gets as it is."""

    def __init__(self, module, name):
        self.module, self.name = module, name


class Call:
    """The result of calling a global, then of BUILD with ``state`` if there is one."""

    def __init__(self, function, *arguments, state=None):
        self.function, self.arguments, self.state = function, arguments, state


class Stored:
    """What a persistent id describes."""

    def __init__(self, *pid):
        self.pid = pid


def dump(value):
    """A pickle of protocol 2 without memo."""
    return b"\x80\x02" + _dump(value) + b"."


def _dump(value):
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        made = _dump(value.function) + _dump(value.arguments) + b"R"
        return made + (_dump(value.state) + b"b" if value.state is not None else b"")
    if isinstance(value, Stored):
        return _dump(value.pid) + b"Q"
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_dump, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_dump, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_dump(part) for item in value.items() for part in item) + b"u"
    return pickle.dumps(value, protocol=2)[2:-1]  # numbers, text, None


def storage(kind, key, length, *view):
    """A storage's mention; ``view`` (key, offset, length) or None is in the legacy format only."""
    return Stored("storage", Global("torch", kind), key, "cpu", length, *view)


def tensor(kept, offset, size, stride):
    """A tensor on the storage ``kept``."""
    return Call(Global("torch._utils", "_rebuild_tensor_v2"), kept, offset, size, stride, False,
                Call(Global("collections", "OrderedDict")))


def write_zip(path, tree, storages, byteorder=None, compression=zipfile.ZIP_STORED, more=()):
    """``storages``: {key: raw bytes}; ``more``: {name: bytes} of further members."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("weights/data.pkl", dump(tree))
        for key, raw in storages.items():
            archive.writestr(f"weights/data/{key}", raw)
        if byteorder is not None:
            archive.writestr("weights/byteorder", byteorder)
        for name, raw in dict(more).items():
            archive.writestr(f"weights/{name}", raw)
    return str(path)


def write_legacy(path, tree, storages, keys=None):
    """``storages``: {key: (number of elements, raw bytes)}, in this order."""
    parts = [dump(0x1950A86A20F9469CFC6C), dump(1001), dump({"protocol_version": 1001, "little_endian": True}),
             dump(tree), dump(list(storages) if keys is None else keys)]
    parts += [struct.pack("<q", length) + raw for length, raw in storages.values()]
    path.write_bytes(b"".join(parts))
    return str(path)

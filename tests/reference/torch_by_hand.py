"""Write files of PyTorch by hand, from the description of the formats.

This needs no PyTorch and nothing of this package, so that the reader is not tested against itself.
"""

import pickle
import struct
import zipfile

# The legacy format starts with this number, the version of the protocol, and facts about the
# machine.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001


class Global:
    """A name in a module, which a pickle contains by name.

    Parameters
    ----------
    module, name : str
        The module, and the name in it.
    """

    def __init__(self, module, name):
        self.module = module
        self.name = name


class Call:
    """The result of a call, which a pickle contains as the operations REDUCE and perhaps BUILD.

    Parameters
    ----------
    function : Global
        What is called.
    *arguments : object
        Its arguments.
    state : object or None
        What BUILD gives to the result; None: there is no BUILD.
    """

    def __init__(self, function, *arguments, state=None):
        self.function = function
        self.arguments = arguments
        self.state = state


class Stored:
    """An object that a pickle contains by its persistent id.

    Parameters
    ----------
    *persistent_id : object
        The parts of the id.
    """

    def __init__(self, *persistent_id):
        self.persistent_id = persistent_id


def dump(value):
    """Pickle a value in protocol 2, without a memo.

    Parameters
    ----------
    value : object
        Numbers, text, None, containers, and the classes of this file.

    Returns
    -------
    bytes
        The pickle.
    """
    return b"\x80\x02" + _dump(value) + b"."


def _dump(value):
    """Write the operations that push a value on the stack."""
    if isinstance(value, Global):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Call):
        called = _dump(value.function) + _dump(value.arguments) + b"R"
        return called if value.state is None else called + _dump(value.state) + b"b"
    if isinstance(value, Stored):
        return _dump(value.persistent_id) + b"Q"
    if isinstance(value, tuple):
        return b"(" + _dump_all(value) + b"t"
    if isinstance(value, list):
        return b"](" + _dump_all(value) + b"e"
    if isinstance(value, dict):
        keys_and_values = []
        for item in value.items():
            keys_and_values += item
        return b"}(" + _dump_all(keys_and_values) + b"u"
    # Without the mark of the protocol in front and the full stop at the end.
    return pickle.dumps(value, protocol=2)[2:-1]


def _dump_all(values):
    """Write the operations for several values."""
    return b"".join(map(_dump, values))


def storage(kind, key, length, *view):
    """Describe the storage of a tensor.

    Parameters
    ----------
    kind : str
        PyTorch's class of the storage, such as "FloatStorage".
    key : str
        The storage's name in the file.
    length : int
        The number of its elements.
    *view : tuple or None
        (key, offset, length) or None. Only the legacy format has it.

    Returns
    -------
    Stored
        The persistent id.
    """
    return Stored("storage", Global("torch", kind), key, "cpu", length, *view)


def tensor(kept, offset, size, stride):
    """Describe a tensor.

    Parameters
    ----------
    kept : Stored
        Its storage.
    offset : int
        The first element in the storage.
    size, stride : tuple of int
        Its shape, and the steps along its axes in elements.

    Returns
    -------
    Call
        The call that makes it.
    """
    no_hooks = Call(Global("collections", "OrderedDict"))
    rebuild = Global("torch._utils", "_rebuild_tensor_v2")
    return Call(rebuild, kept, offset, size, stride, False, no_hooks)


def write_zip(path, tree, storages, byteorder=None, compression=zipfile.ZIP_STORED, more=()):
    """Write a file in the present format, a zip.

    Parameters
    ----------
    path : Path
        The file.
    tree : object
        What is saved, with tensors from :func:`tensor`.
    storages : dict of str to bytes
        The key of each storage -> its raw elements.
    byteorder : bytes or None
        The content of the member that tells the order of bytes; None: there is no such member.
    compression : int
        A constant of ``zipfile``.
    more : mapping of str to bytes
        Further members.

    Returns
    -------
    str
        The path.
    """
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
    """Write a file in the format before PyTorch 1.6: pickles in a row, then the raw storages.

    Parameters
    ----------
    path : Path
        The file.
    tree : object
        What is saved, with tensors from :func:`tensor`.
    storages : dict of str to (int, bytes)
        The key of each storage -> the number of its elements and the raw elements, in this order.
    keys : list of str or None
        The keys that the file lists; None: those of ``storages``.

    Returns
    -------
    str
        The path.
    """
    machine = {"protocol_version": LEGACY_PROTOCOL, "little_endian": True}
    listed_keys = list(storages) if keys is None else keys
    parts = [dump(value) for value in (LEGACY_MAGIC, LEGACY_PROTOCOL, machine, tree, listed_keys)]
    for length, raw in storages.values():
        parts.append(struct.pack("<q", length) + raw)
    path.write_bytes(b"".join(parts))
    return str(path)

"""ONNX files from traced graphs: one small function for each operator of MXNet.

``convert.py`` walks over a graph. The files of operators each hold a table ``CONVERTERS``. The
files that import the packages ``onnx``, ``onnxruntime`` and ``openvino`` are loaded by
``writer.py`` when files are written.
"""

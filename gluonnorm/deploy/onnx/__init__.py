"""ONNX files from traced graphs: one small function for each operator of MXNet.

``convert.py`` walks over a graph. The files of operators each hold a table ``CONVERTERS``. Only
``model_file.py`` imports the package ``onnx``, and it is loaded when a file is written.
"""

"""From Keras weights to quantized TFLite files: conversion, validation and benchmarks."""

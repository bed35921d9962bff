package com.example.upscaler

import android.content.res.AssetManager
import android.graphics.Bitmap
import com.google.ai.edge.litert.Accelerator
import com.google.ai.edge.litert.CompiledModel
import com.google.ai.edge.litert.TensorBuffer
import kotlin.math.min
import kotlin.math.round
import kotlin.math.sqrt

/**
 * Super-resolution of bitmaps of any size by a keras-rfdn int8 file of fixed size, in overlapping tiles.
 *
 * asset: a .tflite file in assets/, uint8 [1, height, width, 3] to uint8 [1, height * scale, width * scale, 3], RGB.
 * accelerator: CPU gives the bytes that keras-rfdn gives on a computer; GPU differs by a few grey levels. GPU needs the
 * artifact litert-gpu, and throws LiteRtException on a device where it can't run.
 * Slow: call it from a background thread, one at a time. Close it after use.
 */
class Upscaler(
    assets: AssetManager,
    asset: String = "e-rfdn-x4_int8.tflite",
    private val height: Int = 180,
    private val width: Int = 320,
    accelerator: Accelerator = Accelerator.CPU,
) : AutoCloseable {
    private val model = CompiledModel.create(
        assets,
        asset,
        CompiledModel.Options(accelerator).apply {
            if (accelerator == Accelerator.CPU) cpuOptions = CompiledModel.CpuOptions(numThreads = THREADS)
        },
    )
    private val inputs: List<TensorBuffer> = model.createInputBuffers()
    private val outputs: List<TensorBuffer> = model.createOutputBuffers()
    private val overlap = min(OVERLAP, min(height, width) / 4)

    /** Output pixels per input pixel, along a side. */
    val scale: Int = sqrt(outputs[0].readInt8().size / (3.0 * height * width)).toInt()

    /** ARGB_8888 bitmap of any size -> one scale times as large. Transparency is lost. */
    fun upscale(lr: Bitmap): Bitmap {
        val sr = Bitmap.createBitmap(lr.width * scale, lr.height * scale, Bitmap.Config.ARGB_8888)
        for (y in windows(lr.height, height, overlap)) {
            for (x in windows(lr.width, width, overlap)) {
                val tile = runTile(lr, y.tile, x.tile)
                val columns = (x.end - x.start) * scale
                val rows = (y.end - y.start) * scale
                val first = ((y.start - y.tile) * width * scale + x.start - x.tile) * scale
                sr.setPixels(tile, first, width * scale, x.start * scale, y.start * scale, columns, rows)
            }
        }
        return sr
    }

    override fun close() {
        (inputs + outputs).forEach { it.close() }
        model.close()
    }

    /** ARGB pixels of the upscaled tile whose upper left corner is (top, left); beyond the image it is reflected. */
    private fun runTile(lr: Bitmap, top: Int, left: Int): IntArray {
        val rows = min(height, lr.height - top)
        val columns = min(width, lr.width - left)
        val pixels = IntArray(rows * columns)
        lr.getPixels(pixels, 0, columns, left, top, columns, rows)
        val rgb = ByteArray(height * width * 3)
        var i = 0
        for (y in 0 until height) {
            for (x in 0 until width) {
                val pixel = pixels[reflect(y, rows) * columns + reflect(x, columns)]
                rgb[i++] = (pixel shr 16).toByte()
                rgb[i++] = (pixel shr 8).toByte()
                rgb[i++] = pixel.toByte()
            }
        }
        // Kotlin's API has no uint8; these copy bytes as they are (litert_tensor_buffer_jni.cc).
        inputs[0].writeInt8(rgb)
        model.run(inputs, outputs)
        val out = outputs[0].readInt8()
        fun grey(index: Int) = out[index].toInt() and 0xff
        return IntArray(out.size / 3) {
            (0xff shl 24) or (grey(3 * it) shl 16) or (grey(3 * it + 1) shl 8) or grey(3 * it + 2)
        }
    }

    /** Along one axis: start of a tile, start and end of the part of it that is used. */
    private class Window(val tile: Int, val start: Int, val end: Int)

    private companion object {
        const val THREADS = 4 // as many as a phone has large cores
        const val OVERLAP = 16 // LR pixels of context around what is used, as in keras_rfdn/upscaling/tiling.py

        /** Tiles spread evenly; each pixel comes from the tile that has more context around it. */
        fun windows(size: Int, tile: Int, overlap: Int): List<Window> {
            val step = tile - 2 * overlap
            val count = if (size <= tile) 1 else (size - 2 * overlap + step - 1) / step
            val starts = List(count) {
                if (count == 1) 0 else round(it * ((size - tile) / (count - 1.0))).toInt() // ties to even, as NumPy
            }
            return starts.mapIndexed { i, start ->
                val from = if (i == 0) 0 else (starts[i - 1] + tile + start) / 2
                val to = if (i == count - 1) size else (start + tile + starts[i + 1]) / 2
                Window(start, from, to)
            }
        }

        /** Index into size values for any index, mirrored at the last value, which is not repeated. */
        fun reflect(index: Int, size: Int): Int {
            if (size == 1) return 0
            val phase = index % (2 * size - 2)
            return if (phase < size) phase else 2 * size - 2 - phase
        }
    }
}

"""Upscaling of very many images by Apache Beam, on this machine's cores or on a cluster:

    python -m keras_rfdn.bulk 'photos/**' OUT                       a process on each core of this machine
    python -m keras_rfdn.bulk 'gs://B/in/**.jpg' gs://B/out --runner DataflowRunner --project P --region R ...

Needs pip install "keras-rfdn[beam]". Options of Beam and of its runners are passed on. Results that are there are
skipped, so the same command goes on where it was stopped. OUT/failed.tsv names what failed and why; exit status 2 then.
"""

import dataclasses
import functools
import importlib.util
import logging
import os
import sys

import simple_parsing

from keras_rfdn.cli import command
from keras_rfdn.cli.fields import MOST_THREADS, check_fields, choice, number
from keras_rfdn.data.system.errors import UserError


@dataclasses.dataclass(frozen=True)
class BulkConfig:
    """Upscale all images that match a pattern, as an Apache Beam pipeline; Beam's options may stand beside these."""

    pattern: str = simple_parsing.field(positional=True, metavar="PATTERN")  # quoted: 'folder/**', 'gs://bucket/*.png'
    output: str = simple_parsing.field(positional=True, metavar="OUT")  # folder, also of gs://, s3:// or hdfs://
    weights: str | None = None  # pretrained weights by name, or a .tflite file that all workers can read
    scale: int | None = choice(2, 3, 4, default=None)  # by default that of the weights, and of E-RFDN 4
    threads: int = number(1, least=1, most=MOST_THREADS)  # of a worker process; runners start one for each core
    # Processes on this machine, without --runner; by default one per core.
    workers: int | None = number(None, least=1, most=MOST_THREADS)
    strip: bool = False  # drop what files hold besides pixels: EXIF, XMP, colour profile ...


def main(config, beam_words=()):
    """Prints and returns bulk_pipeline.Counts. Raises UserError when an image failed. beam_words: Beam's options."""
    check_fields(config)
    from apache_beam.options.pipeline_options import PipelineOptions

    from keras_rfdn.upscaling import bulk_pipeline

    words = list(beam_words)
    if not any(word.split("=")[0] == "--runner" for word in words):
        words = bulk_pipeline.local_words(config.workers or os.cpu_count() or 1) + words
    elif config.workers:
        raise UserError("--workers is for this machine; give the runner's own option for it (--num_workers)")
    settings = bulk_pipeline.Settings(config.weights, config.scale, config.threads, config.strip)
    counts = bulk_pipeline.run(config.pattern, config.output, settings, PipelineOptions(words))
    print(", ".join(f"{name.replace('_', ' ')} {count:,}" for name, count in dataclasses.asdict(counts).items()))
    if counts.failed:
        raise UserError(f"{counts.failed:,} images failed; {config.output}/failed.tsv says which, and why")
    return counts


def run():
    """The command, with Beam's options taken out of the command line."""
    words = []
    if not {"-h", "--help"} & set(sys.argv):
        if importlib.util.find_spec("apache_beam") is None:
            print('error: this command needs Apache Beam: pip install "keras-rfdn[beam]"', file=sys.stderr)
            sys.exit(2)
        logging.disable()  # what Beam says of packages for other clouds
        from keras_rfdn.upscaling import bulk_pipeline

        logging.disable(logging.NOTSET)
        words, sys.argv[1:] = bulk_pipeline.split_words(sys.argv[1:])
    command.run(functools.partial(main, beam_words=words), BulkConfig)


if __name__ == "__main__":
    run()

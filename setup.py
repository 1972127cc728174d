"""Builds and installs ppgan_apps: what it needs, what it ships and its command. Tool settings are in pyproject.toml."""
import re
import sysconfig
from importlib import metadata
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).resolve().parent

EXTRAS = {
    "video": ["av>=15.0"],
    # Below 7: Gradio moves its options about between major versions.
    "web": ["gradio>=6.31,<7", "fastapi>=0.115", "uvicorn>=0.30", "pydantic>=2.0", "prometheus-client>=0.20",
            "av>=15.0"],
    "browser": ["playwright>=1.45"],                          # tests of the pages, with the system's Chromium
    "train": ["visualdl>=2.5.3", "matplotlib>=3.8"],
    # What PaddleSeg's models need besides the base; paddleseg itself goes in with --no-deps (see requirements.txt).
    "paddleseg": ["six", "scikit-learn"],
    # Part of the base; extras by name for those who install without it.
    "onnx": ["onnx>=1.15", "onnxruntime>=1.17"],
    "openvino": ["openvino>=2024.4"],
    "ray": ["ray[data]>=2.51", "pyarrow>=9.0"],               # ppgan-apps batch
    "bench": ["onnx>=1.15", "onnxruntime>=1.17", "matplotlib>=3.8",   # benchmarks/: ONNX files, the plot,
              "scikit-learn"],                                # photographs without people
    # The guide; docutils 0.22 draws its equations, and the Sphinx that takes it needs Python 3.11.
    "docs": ['sphinx>=9.0,<10; python_version >= "3.11"', 'docutils>=0.22,<0.23; python_version >= "3.11"',
             'myst-parser>=5.0,<6; python_version >= "3.11"', 'furo>=2025.9; python_version >= "3.11"'],
    "test": ["pytest>=7.4", "pytest-xdist>=3.5", "av>=15.0", "matplotlib>=3.8", "onnx>=1.15", "onnxruntime>=1.17",
             "nbclient>=0.8", "ipykernel>=6.20"],              # the last two run the notebooks
}
EXTRAS["all"] = sorted({requirement for needed in EXTRAS.values() for requirement in needed})


def version() -> str:
    """The version, read from the package's text: importing it would settle thread counts for the build."""
    return re.search(r'^__version__ = "(.+)"$', (ROOT / "ppgan_apps" / "__init__.py").read_text(), re.MULTILINE)[1]


def other_paddle() -> str | None:
    """The name of a Paddle build other than the CPU one that the target environment holds, e.g. "paddlepaddle-gpu".

    All builds own the same folder, so the CPU one must not be installed over it. pip builds in isolation, with the
    environment's packages hidden from import, but its folders are still known to sysconfig.
    """
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib")]
    names = {(found.metadata["Name"] or "").lower().replace("_", "-") for found in metadata.distributions(path=folders)}
    return next((name for name in sorted(names) if name.startswith("paddlepaddle-")), None)


def requirements() -> list[str]:
    """The lines of requirements.txt, with paddlepaddle standing for whichever build of it is there."""
    lines = (line.split("#")[0].strip() for line in (ROOT / "requirements.txt").read_text().splitlines())
    paddle = other_paddle() or "paddlepaddle"
    return [re.sub(r"^paddlepaddle\b", paddle, line) for line in lines if line]


setup(
    name="ppgan_apps",
    version=version(),
    description="Portrait and anime GANs on PaddlePaddle: from a photo to a picture and from a YAML to weights.",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    keywords=["gan", "paddlepaddle", "photo2cartoon", "animegan", "stylegan2", "pix2pix"],
    classifiers=[
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ],
    python_requires=">=3.10",
    packages=find_packages(include=["ppgan_apps", "ppgan_apps.*"]),
    package_data={"ppgan_apps": ["pretrained/*", "web/examples/*"]},
    install_requires=requirements(),
    extras_require=EXTRAS,
    entry_points={"console_scripts": ["ppgan-apps = ppgan_apps.cli:main"]},
)

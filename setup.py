"""Compiles the ops where it can. An install never fails for want of a compiler: what could not be
built, and why, is written to ``harness/ops/_build.json`` and the ops then run on their reference.

Two libraries, both on PyTorch's stable ABI and without Python's C API, so that one binary serves
every supported torch and Python: ``_C`` for the CPU, and ``_C_cuda``, apart from it because it
needs a CUDA build of torch where it runs.

Environment: ``HARNESS_BUILD=0`` compiles nothing, ``CUDA_HOME`` and ``TORCH_CUDA_ARCH_LIST`` mean
what they mean to torch, ``MAX_JOBS`` bounds the compilers that run side by side.
"""

import importlib.metadata
import importlib.util
import json
import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext
from setuptools.modified import newer_group

MINIMUM_TORCH = (2, 11)
# Headers offer only what this torch had, whatever torch they come from.
TARGET = f"-DTORCH_TARGET_VERSION=0x{MINIMUM_TORCH[0]:02x}{MINIMUM_TORCH[1]:02x}000000000000"
# Without fused multiply-adds every device rounds as the reference does: equal values stay ties.
# Nobody reads floating-point traps or errno, and without them the loops over boxes vectorise.
CPU_FLAGS = [
    *("-O3", "-g0", "-std=c++17", "-fvisibility=hidden", TARGET),
    *("-ffp-contract=off", "-fno-trapping-math", "-fno-math-errno"),
]
MSVC_FLAGS = ["/O2", "/std:c++17", "/EHsc", TARGET]
NVCC_FLAGS = ["-O3", "-std=c++17", "--fmad=false", "-DUSE_CUDA", TARGET]
# One binary serves its whole major generation (8.0 runs on 8.6 and 8.9), PTX serves newer ones.
ARCHITECTURES = "7.5;8.0;9.0;10.0+PTX"
# So many compilers of CUDA code run: nearly all that each does is to read torch's headers, and the
# kernels come out the same however the files are shared out.
CUDA_UNITS = 2


class NotBuiltError(Exception):
    """Why a library is not built; goes to the user word for word."""


def torch_folder() -> Path:
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        raise NotBuiltError("torch was not there when the package was built")
    version = importlib.metadata.version("torch")
    if tuple(int(part) for part in version.split(".")[:2]) < MINIMUM_TORCH:
        raise NotBuiltError(f"torch {version} is older than {'.'.join(map(str, MINIMUM_TORCH))}")
    return Path(spec.origin).parent


def find_nvcc() -> str:
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH")
    places = [Path(home) / "bin" / "nvcc"] if home else []
    found = [str(place) for place in places if place.exists()]
    nvcc = found[0] if found else shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        raise NotBuiltError("nvcc was not found")
    return nvcc


def jobs() -> int:
    return int(os.environ.get("MAX_JOBS") or os.cpu_count() or 1)


def unit(path: Path, sources: list[str]) -> str:
    """A file that includes `sources`, so that the headers which they share are read once."""
    includes = [f'#include "{Path(source).resolve().as_posix()}"\n' for source in sources]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(includes))
    newest = max(Path(source).stat().st_mtime for source in sources)
    os.utime(path, (newest, newest))  # what was compiled from them before stays newer
    return str(path)


def run_compiler(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(" ".join(command), done.stdout, done.stderr, sep="\n", flush=True)
        lines = [line for line in (done.stderr or done.stdout).splitlines() if "error" in line]
        raise NotBuiltError(
            f"{Path(command[0]).name} failed: {lines[0] if lines else done.returncode}"
        )
    return done.stdout


def architecture_flags(nvcc: str) -> list[str]:
    """Those of the wanted architectures that this nvcc knows."""
    wanted = os.environ.get("TORCH_CUDA_ARCH_LIST") or ARCHITECTURES
    known = run_compiler([nvcc, "--list-gpu-code"]).split()
    flags, last = [], None
    for name in wanted.replace(" ", ";").split(";"):
        number = name.removesuffix("+PTX").replace(".", "")
        if f"sm_{number}" not in known:
            continue
        last = number
        flags.append(f"-gencode=arch=compute_{number},code=sm_{number}")
        if name.endswith("+PTX"):
            flags.append(f"-gencode=arch=compute_{number},code=compute_{number}")
    if last is None:
        raise NotBuiltError(f"nvcc knows none of the architectures {wanted}")
    if "code=compute_" not in " ".join(flags):  # the newest wanted ones are unknown to this nvcc
        flags.append(f"-gencode=arch=compute_{last},code=compute_{last}")
    return flags


class BuildOps(build_ext):
    def run(self) -> None:
        self.report: dict[str, object] = {"compiled": False, "cuda": False, "torch": None}
        super().run()

    def build_extensions(self) -> None:
        for extension in self.extensions:
            part = "cuda" if extension.name.endswith("_cuda") else "compiled"
            try:
                self.build_part(extension, part)
                self.report[part] = True
            except Exception as error:  # whatever a toolchain does, the install goes on
                self.remove(extension)
                self.report["cuda_reason" if part == "cuda" else "reason"] = str(error)
                print(f"harness: {extension.name} is not compiled: {error}", flush=True)
        self.write_report()

    def build_part(self, extension: Extension, part: str) -> None:
        if os.environ.get("HARNESS_BUILD") == "0":
            raise NotBuiltError("switched off by HARNESS_BUILD=0")
        torch = torch_folder()
        self.report["torch"] = importlib.metadata.version("torch")
        if part == "cuda":
            self.build_cuda(extension, torch)
            return
        msvc = self.compiler.compiler_type == "msvc"
        extension.include_dirs = [str(torch / "include")]
        extension.library_dirs = [str(torch / "lib")]
        extension.libraries = ["torch_cpu"]  # torch has loaded it by the time this is loaded
        extension.extra_compile_args = MSVC_FLAGS if msvc else CPU_FLAGS
        self.report["flags"] = extension.extra_compile_args
        schemas = [source for source in extension.sources if Path(source).name == "schema.cpp"]
        extension.depends += schemas
        extension.sources = [
            unit(Path(self.build_temp) / "schemas.cpp", schemas),
            *(source for source in extension.sources if source not in schemas),
        ]
        self.compile_side_by_side()
        try:
            self.build_extension(extension)
        except Exception as error:
            print(f"harness: {error}", flush=True)
            compiler = getattr(self.compiler, "compiler_so_cxx", ["the C++ compiler"])[0]
            what = "failed" if shutil.which(compiler) else "was not found"
            raise NotBuiltError(f"{compiler} {what}; pip install -v shows more") from error

    def compile_side_by_side(self) -> None:
        """setuptools compiles one file after the other."""
        compile_all = self.compiler.compile

        def compile_each(sources: list[str], **how: object) -> list[str]:
            with ThreadPoolExecutor(jobs()) as pool:
                made = pool.map(lambda source: compile_all([source], **how), sources)
                return [one for objects in made for one in objects]

        self.compiler.compile = compile_each

    def build_cuda(self, extension: Extension, torch: Path) -> None:
        if not self.report["compiled"]:
            raise NotBuiltError("the CPU part, which declares the ops, is not compiled")
        nvcc = find_nvcc()
        if not (torch / "lib" / "libtorch_cuda.so").exists():
            raise NotBuiltError(f"torch {self.report['torch']} is built without CUDA")
        flags = [*NVCC_FLAGS, *architecture_flags(nvcc)]
        self.report["cuda_flags"] = flags
        target = Path(self.get_ext_fullpath(extension.name))
        if not (self.force or newer_group([*extension.sources, *extension.depends], str(target))):
            return
        folder = Path(self.build_temp) / "cuda"
        target.parent.mkdir(parents=True, exist_ok=True)
        units = [
            unit(folder / f"unit{number}.cu", extension.sources[number::CUDA_UNITS])
            for number in range(CUDA_UNITS)
        ]
        objects = [str(Path(source).with_suffix(".o")) for source in units]
        include = ["-isystem", str(torch / "include"), "-Xcompiler", "-fPIC,-fvisibility=hidden"]
        commands = [
            [nvcc, *flags, *include, "-c", source, "-o", object_file]
            for source, object_file in zip(units, objects, strict=True)
        ]
        with ThreadPoolExecutor(jobs()) as pool:
            list(pool.map(run_compiler, commands))
        libraries = [f"-L{torch / 'lib'}", "-ltorch_cuda", "-ltorch_cpu"]
        # The static runtime shares torch's context but not its version.
        link = [nvcc, "-shared", "--cudart=static", *objects, *libraries, "-o", str(target)]
        run_compiler(link)

    def remove(self, extension: Extension) -> None:
        """A library of an earlier build must not outlive the one that failed."""
        built = Path(self.get_ext_fullpath(extension.name))
        built.unlink(missing_ok=True)
        if self.inplace or self.editable_mode:  # a wheel is not what an editable install runs
            (self.source_folder() / built.name).unlink(missing_ok=True)

    def source_folder(self) -> Path:
        return Path(self.get_finalized_command("build_py").get_package_dir("harness.ops"))

    def write_report(self) -> None:
        folder = Path(self.build_lib) / "harness" / "ops"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "_build.json").write_text(json.dumps(self.report, indent=2) + "\n")

    def copy_extensions_to_source(self) -> None:
        super().copy_extensions_to_source()
        report = Path(self.build_lib) / "harness" / "ops" / "_build.json"
        shutil.copyfile(report, self.source_folder() / report.name)


def extension(name: str, pattern: str) -> Extension:
    return Extension(
        f"harness.ops.{name}",
        sorted(str(path) for path in Path("csrc").glob(f"*/{pattern}")),
        depends=sorted(str(path) for path in Path("csrc").glob("*/*.h")),
        language="c++",
        py_limited_api=True,  # no Python API at all: the file name names no Python version
        optional=True,
    )


PACKAGES = [
    *find_packages(include=["harness", "harness.*"]),
    "harness_plugins",
    *(f"harness_plugins.{family}" for family in find_packages("plugins")),
]

setup(
    packages=PACKAGES,
    ext_modules=[extension("_C", "*.cpp"), extension("_C_cuda", "*.cu")],
    cmdclass={"build_ext": BuildOps},
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)

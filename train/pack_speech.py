"""Speech for prepare: libespeak-ng with its English data, and flite's English voices, from Debian packages, with stubs for
their sound cards."""
import glob, os, shutil, subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
DEBS = ["libespeak-ng1", "espeak-ng-data", "libsonic0", "libflite1"]
DATA = "en_dict intonations phondata phonindex phontab lang/gmw voices/!v".split()
# in the order in which they can be loaded; the voice rms stays out: it is for the evaluation
FLITE = "flite flite_usenglish flite_cmulex flite_cmu_us_kal flite_cmu_us_awb flite_cmu_us_slt".split()


def unpacked(debs, names, work):
    """The folder of the packages' libraries."""
    for name in names:
        subprocess.run(["dpkg-deb", "-x", debs[name], work], check=True)
    (lib,) = glob.glob(os.path.join(work, "usr", "lib", "*", "libflite.so.1"))
    return os.path.dirname(lib)


def stub(name, soname, out, version=None):
    """Compile HERE/name.c to out/soname; version: of its symbols."""
    command = ["cc", "-shared", "-fPIC", "-Os", "-s", f"-Wl,-soname,{soname}"]
    if version:
        script = os.path.join(out, "version.map")
        with open(script, "w") as f:
            f.write(f"{version} {{ global: snd_*; local: *; }};\n")
        command.append(f"-Wl,--version-script={script}")
    subprocess.run([*command, "-o", os.path.join(out, soname), os.path.join(HERE, name + ".c")], check=True)
    if version:
        os.remove(script)


def espeak(debs, work, out):
    """Fill the folder `out`; debs: {package: path}."""
    folder = unpacked(debs, DEBS, work)
    shutil.rmtree(out, ignore_errors=True)
    data = os.path.join(out, "espeak-ng-data")
    os.makedirs(data)
    for name in ("libespeak-ng.so.1", "libsonic.so.0"):
        shutil.copy(os.path.join(folder, name), os.path.join(out, name))
    for part in DATA:
        source, into = os.path.join(folder, "espeak-ng-data", part), os.path.join(data, part)
        shutil.copytree(source, into) if os.path.isdir(source) else shutil.copy(source, into)
    stub("pcaudio_stub", "libpcaudio.so.0", out)


def flite(debs, work, out):
    """Fill the folder `out`."""
    folder = unpacked(debs, ["libflite1"], work)
    shutil.rmtree(out, ignore_errors=True)
    os.makedirs(out)
    for name in FLITE:
        shutil.copy(os.path.join(folder, f"lib{name}.so.1"), out)
    stub("asound_stub", "libasound.so.2", out, "ALSA_0.9")

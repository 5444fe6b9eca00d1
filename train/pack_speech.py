"""Speech for prepare: libespeak-ng with its English data, from Debian packages, and a stub for its sound card."""
import glob, os, shutil, subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
DEBS = ["libespeak-ng1", "espeak-ng-data", "libsonic0"]
DATA = "en_dict intonations phondata phonindex phontab lang/gmw voices/!v".split()


def espeak(debs, work, out):
    """Fill the folder `out`; debs: {package: path}."""
    for name in DEBS:
        subprocess.run(["dpkg-deb", "-x", debs[name], work], check=True)
    shutil.rmtree(out, ignore_errors=True)
    data = os.path.join(out, "espeak-ng-data")
    os.makedirs(data)
    (lib,) = glob.glob(os.path.join(work, "usr", "lib", "*", "libespeak-ng.so.1"))
    folder = os.path.dirname(lib)
    for name in ("libespeak-ng.so.1", "libsonic.so.0"):
        shutil.copy(os.path.join(folder, name), os.path.join(out, name))
    for part in DATA:
        source, into = os.path.join(folder, "espeak-ng-data", part), os.path.join(data, part)
        shutil.copytree(source, into) if os.path.isdir(source) else shutil.copy(source, into)
    stub = os.path.join(HERE, "pcaudio_stub.c")
    command = ["cc", "-shared", "-fPIC", "-Os", "-s", "-Wl,-soname,libpcaudio.so.0"]
    subprocess.run([*command, "-o", os.path.join(out, "libpcaudio.so.0"), stub], check=True)

# Copyright 2026 The hbvla_ros Authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Install hbvla_ros as an ament_python package: modules, share files and executables."""

from glob import glob
from pathlib import Path
import runpy

from setuptools import Extension, find_packages, setup
from setuptools.command.build_ext import build_ext

NAME = 'hbvla_ros'
SHARE = f'share/{NAME}'
BUILD = runpy.run_path(str(Path(__file__).with_name(NAME) / 'kernels' / 'build.py'))


class BuildKernels(build_ext):
    """Compile the native kernels; without a compiler the package installs all the same."""

    def get_ext_filename(self, fullname):
        """Return the file without a tag of Python: the library does not know Python."""
        return str(Path(*fullname.split('.')).with_suffix('.so'))

    def build_extension(self, ext):
        """Build the library of the package; a failure is a warning."""
        target = Path(self.get_ext_fullpath(ext.name))
        try:
            BUILD['build_library'](target)
        except (BUILD['BuildError'], OSError) as error:
            target.unlink(missing_ok=True)
            self.warn(f'native kernels not built, products will run on torch: {error}')

    def copy_extensions_to_source(self):
        """Do for a develop install what the build did: leave out what could not be built."""
        if Path(self.build_lib, self.get_ext_filename(f'{NAME}.kernels._cpu')).exists():
            super().copy_extensions_to_source()

    def get_outputs(self):
        """Return what was really built."""
        return [file for file in super().get_outputs() if Path(file).exists()]


setup(
    name=NAME,
    version='0.1.0',
    packages=find_packages(include=[NAME, f'{NAME}.*']),
    package_data={NAME: ['py.typed'], f'{NAME}.kernels': ['csrc/*']},
    ext_modules=[Extension(f'{NAME}.kernels._cpu', [])],
    cmdclass={'build_ext': BuildKernels},
    data_files=[
        ('share/ament_index/resource_index/packages', [f'resource/{NAME}']),
        (SHARE, ['package.xml']),
        (f'{SHARE}/launch', sorted(glob('launch/*.py'))),
        (f'{SHARE}/config', sorted(glob('config/*.yaml') + glob('config/*.xml'))),
        (f'{SHARE}/config/robots', sorted(glob('config/robots/*.yaml'))),
        (f'{SHARE}/models/aloha_pick', sorted(glob('models/aloha_pick/*'))),
        (f'{SHARE}/config/sros2', ['config/sros2/policy.xml']),
        (f'{SHARE}/config/foxglove', sorted(glob('config/foxglove/*.json'))),
    ],
    python_requires='>=3.10',
    install_requires=['setuptools'],
    extras_require={'test': ['pytest', 'hypothesis']},
    zip_safe=False,
    author='The hbvla_ros Authors',
    maintainer='The hbvla_ros Authors',
    maintainer_email='hbvla_ros@example.com',
    description='Run vision-language-action policies with true 1-bit weights on ROS 2 robots',
    license='Apache-2.0',
    entry_points={
        'console_scripts': [
            'policy_node = hbvla_ros.ros.policy_node:main',
            'action_executor_node = hbvla_ros.ros.action_executor_node:main',
            'quantize_node = hbvla_ros.ros.quantize_node:main',
            'bag_player = hbvla_ros.ros.bag_player:main',
            'sim_node = hbvla_ros.ros.sim_node:main',
            'bringup = hbvla_ros.bringup.runner:main',
            'hbvla_quantize = hbvla_ros.cli.quantize:main',
            'hbvla_show = hbvla_ros.cli.show:main',
            'hbvla_compare = hbvla_ros.cli.compare:main',
            'hbvla_sensitivity = hbvla_ros.cli.sensitivity:main',
            'hbvla_replay = hbvla_ros.cli.replay:main',
            'hbvla_eval = hbvla_ros.cli.evaluate:main',
            'hbvla_doctor = hbvla_ros.cli.doctor:main',
            'build_kernels = hbvla_ros.kernels.build:main',
        ],
    },
)

from ..support.crowd import Crowd as Crowd
